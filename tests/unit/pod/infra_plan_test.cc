#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pod/infra.h"

namespace trivet::pod {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

PodRecord record() {
  PodRecord record;
  record.id = "4f00";
  record.name = "web";
  record.hostname = "web-host";
  record.cgroup_parent = "/trivet-pod-4f00";
  return record;
}

// With UPDATE_GOLDEN in the environment the files are written anew.
void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(TEST_DATA_DIR) + "/" + name;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text << "\n";
  std::stringstream expected;
  expected << std::ifstream(path).rdbuf();
  EXPECT_EQ(text + "\n", expected.str()) << name;
}

TEST(InfraPlan, HoldsNamespacesAndNothingElse) {
  const PodRecord pod = record();
  const auto spec = plan_infra({.record = pod,
                                .sysctls = {{"net.ipv4.ip_forward", "1"}},
                                .directory = "/data/pods/4f00",
                                .library_host = ""});
  ASSERT_TRUE(spec) << spec.error().message();
  expect_golden("infra_plain.json", oci::print_spec(*spec, oci::JsonLayout::kIndented));
}

TEST(InfraPlan, HostNetworkIsNoNamespace) {
  PodRecord pod = record();
  pod.network = net::Mode::kHost;
  const auto spec =
      plan_infra({.record = pod, .sysctls = {}, .directory = "/d", .library_host = ""}).value();
  EXPECT_EQ(spec.linux_config->find_namespace(oci::NamespaceType::kNetwork), nullptr);
  EXPECT_NE(spec.linux_config->find_namespace(oci::NamespaceType::kUts), nullptr);
}

TEST(InfraPlan, ExtensionsGetTheirFilesAndTheHostsLibraries) {
  PodRecord pod = record();
  pod.extensions = {
      {.name = "dns", .path = "/usr/libexec/trivet/trivet-dns", .settings = ""},
      {.name = "metrics", .path = "/usr/libexec/trivet/libtrivet-metrics.so", .settings = ""}};
  auto spec = plan_infra({.record = pod,
                          .sysctls = {},
                          .directory = "/data/pods/4f00",
                          .library_host = "/usr/libexec/trivet/trivet-extension"});
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_TRUE(spec->linux_config->seccomp);
  spec->linux_config->seccomp.reset();  // it is the kernel's version that decides
  expect_golden("infra_extensions.json", oci::print_spec(*spec, oci::JsonLayout::kIndented));
  EXPECT_THAT(extension_command(pod.extensions[0]), ElementsAre("/extensions/dns"));
  EXPECT_THAT(extension_command(pod.extensions[1]),
              ElementsAre("/extensions/.host/trivet-extension", "/extensions/metrics.so"));
}

std::string refusal(std::vector<Extension> extensions, const std::string& library_host = "/host") {
  oci::Spec spec;
  const auto planned = plan_infra_mounts(extensions, library_host, spec);
  return planned ? "none" : planned.error().message();
}

TEST(InfraPlan, RefusesExtensionsThatCannotBe) {
  EXPECT_EQ(refusal({{.name = "a-1", .path = "/x/y", .settings = ""}}), "none");
  for (const char* name : {"", "-a", "a-", "A", "a/b", ".host", ".."}) {
    EXPECT_THAT(refusal({{.name = name, .path = "/x", .settings = ""}}), HasSubstr("a name is"));
  }
  EXPECT_THAT(refusal({{.name = std::string(64, 'a'), .path = "/x", .settings = ""}}),
              HasSubstr("a name is"));
  for (const char* path : {"", "x", "/x/../y", "/x/"}) {
    EXPECT_THAT(refusal({{.name = "a", .path = path, .settings = ""}}),
                HasSubstr("is not absolute"));
  }
  EXPECT_THAT(refusal({{.name = "a", .path = "/x", .settings = ""},
                       {.name = "a", .path = "/y", .settings = ""}}),
              HasSubstr("there twice"));
  EXPECT_THAT(refusal({{.name = "a", .path = "/x.so", .settings = ""}}, ""),
              HasSubstr("trivet-extension is not installed"));
}

TEST(InfraPlan, DiscoveryTakesTheServersPlace) {
  EXPECT_EQ(point_to_discovery("# made by x\nnameserver 10.0.0.1\nsearch a.example\n\n"
                               "nameserver ::1\noptions ndots:2\n"),
            "nameserver 127.0.0.11\n# made by x\nsearch a.example\noptions ndots:2\n");
  EXPECT_EQ(point_to_discovery("nameserver 10.0.0.1\n"),
            "nameserver 127.0.0.11\noptions ndots:0\n");
  EXPECT_TRUE(has_discovery(
      {{.name = "x", .path = "", .settings = ""}, {.name = "dns", .path = "", .settings = ""}}));
  EXPECT_FALSE(has_discovery({}));
}

TEST(InfraPlan, AMicrovmAsksTheServersOfTheSettings) {
  const auto bypass = [](const std::string& settings) {
    return bypass_discovery("nameserver 10.0.0.1\nsearch a.example\n",
                            {{.name = "dns", .path = "", .settings = settings}});
  };
  EXPECT_EQ(bypass("").value(), "nameserver 10.0.0.1\nsearch a.example\n");
  EXPECT_EQ(bypass(" 10.0.0.2\t127.0.0.1#53\n").value(),
            "nameserver 10.0.0.2\nnameserver 127.0.0.1\nsearch a.example\n");
  for (const char* settings :
       {"10.0.0.2#5353", "fd00::1", "127.0.0.11", "nobody", "10.0.0.2 \x1b[31m"}) {
    const auto refused = bypass(settings);
    ASSERT_FALSE(refused) << settings;
    EXPECT_EQ(refused.error().message().find('\x1b'), std::string::npos);
  }
  EXPECT_EQ(bypass_discovery("nameserver 10.0.0.1\n", {}).value(), "nameserver 10.0.0.1\n");
}

}  // namespace
}  // namespace trivet::pod
