#include "payload/choose.h"

#include <gtest/gtest.h>

namespace trivet::payload {
namespace {

using Annotations = std::map<std::string, std::string>;

Choice chosen(const std::string& requested, const Annotations& annotations,
              const std::string& program = "trivet-oci") {
  const auto choice =
      choose({.requested = requested, .annotations = annotations, .program_name = program});
  EXPECT_TRUE(choice) << choice.error().message();
  return choice.value_or(Choice{});
}

std::string error_of(const std::string& requested, const Annotations& annotations) {
  const auto choice =
      choose({.requested = requested, .annotations = annotations, .program_name = "trivet-oci"});
  return choice ? "" : choice.error().message();
}

TEST(Choose, WithoutAWishTheProgramDecides) {
  const Choice choice = chosen("", {});
  EXPECT_EQ(choice.isolation, Isolation::kNative);
  EXPECT_TRUE(choice.by_program);
}

TEST(Choose, TheOptionGoesBeforeEverything) {
  const Annotations others{{kIsolationAnnotation, "wasm"}, {"run.oci.handler", "krun"}};
  const Choice choice = chosen("native", others, "crun-wasm");
  EXPECT_EQ(choice.isolation, Isolation::kNative);
  EXPECT_FALSE(choice.by_program);
}

TEST(Choose, OurAnnotationGoesBeforeCruns) {
  const Annotations both{{kIsolationAnnotation, "wasm"}, {"run.oci.handler", "krun"}};
  EXPECT_EQ(chosen("", both).isolation, Isolation::kWasm);
}

TEST(Choose, CrunsHandlers) {
  EXPECT_EQ(chosen("", {{"run.oci.handler", "wasm"}}).isolation, Isolation::kWasm);
  EXPECT_FALSE(chosen("", {{"run.oci.handler", "wasm"}}).by_program);
  EXPECT_TRUE(chosen("", {{"run.oci.handler", "wasm-smart"}}).by_program);
  EXPECT_EQ(chosen("", {{"run.oci.handler", "krun"}}).isolation, Isolation::kMicrovm);
}

TEST(Choose, CompatImagesAreWasm) {
  EXPECT_EQ(chosen("", {{"module.wasm.image/variant", "compat"}}).isolation, Isolation::kWasm);
  EXPECT_TRUE(chosen("", {{"module.wasm.image/variant", "compat-smart"}}).by_program);
}

TEST(Choose, TheProgramsNameComesLast) {
  EXPECT_EQ(chosen("", {}, "crun-wasm").isolation, Isolation::kWasm);
  EXPECT_EQ(chosen("", {}, "krun").isolation, Isolation::kMicrovm);
  EXPECT_EQ(chosen("", {{"run.oci.handler", "wasm"}}, "krun").isolation, Isolation::kWasm);
}

TEST(Choose, APauseContainerIsNativeWhateverItsPodAsksFor) {
  for (const char* mark :
       {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"}) {
    const Choice choice = chosen("", {{mark, "sandbox"}, {"run.oci.handler", "wasm"}}, "krun");
    EXPECT_EQ(choice.isolation, Isolation::kNative) << mark;
    EXPECT_FALSE(choice.by_program) << mark;
  }
  const Annotations container{{"io.kubernetes.cri.container-type", "container"},
                              {"run.oci.handler", "wasm"}};
  EXPECT_EQ(chosen("", container).isolation, Isolation::kWasm);
}

TEST(Choose, AnUnknownNameIsAnErrorThatSaysWhere) {
  EXPECT_EQ(error_of("wsam", {}), "--isolation: unknown isolation \"wsam\"");
  EXPECT_EQ(error_of("", {{kIsolationAnnotation, "vm"}}),
            "dev.trivet.isolation: unknown isolation \"vm\"");
  EXPECT_EQ(error_of("", {{"run.oci.handler", "wasmedge"}}),
            "run.oci.handler: unknown isolation \"wasmedge\"");
}

}  // namespace
}  // namespace trivet::payload
