// What each caller's file looks like afterwards, and that it becomes what it was.
#include "install/caller.h"

#include <gtest/gtest.h>

namespace trivet::install {
namespace {

const Registration kThree{.handlers = {{"trivet", "/usr/bin/trivet-oci"},
                                       {"trivet-microvm", "/d/krun"},
                                       {"trivet-wasm", "/d/crun-wasm"}}};

Registration one(bool as_default = false) {
  return {.handlers = {{"trivet", "/usr/bin/trivet-oci"}}, .as_default = as_default};
}

std::string text_of(const Result<std::string>& result) {
  return result ? *result : "error: " + result.error().message();
}

std::string docker(const std::string& text, const Registration& registration) {
  return text_of(add_docker({"f", text}, registration));
}
std::string containerd(const std::string& text, const Registration& registration) {
  return text_of(add_containerd({"f", text}, registration));
}

// ---------------------------------------------------------------- docker

TEST(Docker, RegistersEachHandler) {
  EXPECT_EQ(docker("", kThree), R"({
  "runtimes": {
    "trivet": {
      "path": "/usr/bin/trivet-oci"
    },
    "trivet-microvm": {
      "path": "/d/krun"
    },
    "trivet-wasm": {
      "path": "/d/crun-wasm"
    }
  }
}
)");
}

TEST(Docker, KeepsOtherRuntimesAndTheDefault) {
  const std::string before = R"({"default-runtime": "kata", "runtimes": {"kata": {"path": "k"}}})";
  const std::string after = docker(before, one(true));
  EXPECT_EQ(after, R"({"default-runtime": "trivet", "runtimes": {"kata": {"path": "k"}, )"
                   R"("trivet": {"path":"/usr/bin/trivet-oci"}}})");
  EXPECT_EQ(text_of(remove_docker({"f", after}, one(true), before)), before);
}

TEST(Docker, TakesOutOnlyItsOwnWhereSomebodyHasAddedMore) {
  const std::string after = docker("{\"debug\": true}", one(true));
  std::string changed = after;
  changed.replace(changed.find("true"), 4, "false");
  EXPECT_EQ(text_of(remove_docker({"f", changed}, one(true), "{\"debug\": true}")),
            "{\"debug\": false}");
}

TEST(Docker, LeavesADefaultThatSomebodyHasChosenSince) {
  const std::string changed =
      R"({"runtimes": {"trivet": {"path": "/usr/bin/trivet-oci"}}, "default-runtime": "runc"})";
  EXPECT_EQ(text_of(remove_docker({"f", changed}, one(true), "{}")),
            R"({"default-runtime": "runc"})");
}

TEST(Docker, FollowsAProgramThatHasMoved) {
  EXPECT_EQ(docker(R"({"runtimes": {"trivet": {"path": "/opt/trivet-oci"}}})", one()),
            R"({"runtimes": {"trivet": {"path":"/usr/bin/trivet-oci"}}})");
}

TEST(Docker, RefusesANameThatStandsForSomethingElse) {
  const std::string text = docker(R"({"runtimes": {"trivet": {"path": "/bin/sh"}}})", one());
  EXPECT_TRUE(text.starts_with("error: f: there is a runtime \"trivet\" already")) << text;
  EXPECT_TRUE(docker(R"({"runtimes": []})", one()).starts_with("error: f:1:14: \"runtimes\""));
}

// ---------------------------------------------------------------- containerd

constexpr const char* kBlock = R"(
# BEGIN trivet: `trivet uninstall containerd` takes it out
# containerd's own, which it has by itself only where no runtime is named.
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.trivet]
  runtime_type = "io.containerd.runc.v2"
  pod_annotations = ["dev.trivet.*", "run.oci.handler", "krun.*", "module.wasm.image/variant"]
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.trivet.options]
    BinaryName = "/usr/bin/trivet-oci"
# END trivet
)";

TEST(Containerd, PutsABlockAtTheEnd) {
  EXPECT_EQ(containerd("", one()), std::string("version = 2\n") + kBlock);
  EXPECT_EQ(containerd("# mine\nversion = 2", one()),
            std::string("# mine\nversion = 2\n") + kBlock);
}

TEST(Containerd, PutsItInOnce) {
  const std::string once = containerd("version = 2\n", one());
  EXPECT_EQ(containerd(once, one()), once);
}

TEST(Containerd, NamesThePluginAsTheFilesVersionDoes) {
  EXPECT_NE(containerd("version = 3\n", one()).find("\n[plugins.\"io.containerd.cri.v1.runtime\"."),
            std::string::npos);
  EXPECT_NE(containerd("root = \"/r\"\n", one()).find("\n[plugins.cri.containerd.runtimes.trivet]"),
            std::string::npos);
  EXPECT_EQ(containerd("version = 9\n", one()),
            "error: f: version 9 of containerd's configuration is not known");
}

TEST(Containerd, HasCgroupsMadeBySystemdWhereRuncHas) {
  const std::string text = containerd(R"(version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = true
)",
                                      one());
  EXPECT_NE(text.find("trivet-oci\"\n    SystemdCgroup = true\n"), std::string::npos);
}

TEST(Containerd, ChangesADefaultThatIsThereAndGivesItBack) {
  const std::string before = R"(version = 2
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc" # mine
  snapshotter = "native"
)";
  const std::string after = containerd(before, one(true));
  EXPECT_NE(after.find("\n  default_runtime_name = \"trivet\"  # by trivet\n  snapshotter"),
            std::string::npos);
  EXPECT_EQ(text_of(remove_containerd({"f", after + "[grpc]\n"}, one(true), before)),
            before + "[grpc]\n");
}

TEST(Containerd, MakesADefaultWhereTheTableHasNone) {
  const std::string before =
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
      "  snapshotter = \"native\"\n";
  const std::string after = containerd(before, one(true));
  EXPECT_NE(after.find(".containerd]\n  default_runtime_name = \"trivet\"  # by trivet\n  snap"),
            std::string::npos);
  EXPECT_EQ(text_of(remove_containerd({"f", "# new\n" + after}, one(true), before)),
            "# new\n" + before);
}

TEST(Containerd, MakesATableForADefaultWhereThereIsNone) {
  const std::string before = R"(version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "x"
)";
  EXPECT_NE(containerd(before, one(true)).find(".containerd]\n  default_runtime_name = \"trivet\""),
            std::string::npos);
}

TEST(Containerd, RefusesWhatItCantChangeSafely) {
  const std::string inline_table =
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\ncontainerd = {snapshotter = \"x\"}\n";
  EXPECT_TRUE(containerd(inline_table, one()).starts_with("error: f:"));
  EXPECT_TRUE(containerd(inline_table, one(true)).starts_with("error: f:"));
  EXPECT_TRUE(containerd("version = 2\n[a\n", one()).starts_with("error: f:2:3: not valid TOML: "))
      << containerd("version = 2\n[a\n", one());
  const std::string other =
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd."
      "runtimes.trivet]\nruntime_type = \"x\"\n";
  EXPECT_EQ(containerd(other, one()), "error: f:2: there is a runtime \"trivet\" already");
}

TEST(Containerd, RefusesToTakeOutWhatSomebodysLineDependsOn) {
  const std::string text = containerd("version = 2\n", one()) + "SystemdCgroup = true\n";
  EXPECT_TRUE(text_of(remove_containerd({"f", text}, one(), "")).starts_with("error: f:13: "))
      << text_of(remove_containerd({"f", text}, one(), ""));
}

// ---------------------------------------------------------------- podman, cri-o

TEST(Podman, KeepsTheListsOfTheOtherFiles) {
  Registration registration = kThree;
  registration.as_default = true;
  registration.fallbacks = {"/usr/bin/crun"};
  const PodmanLists lists{.json = {"crun"}, .kvm = {"krun"}, .no_cgroups = {}};
  const std::string text = text_of(add_podman({"f", ""}, registration, lists));
  EXPECT_EQ(text, R"(# BEGIN trivet: `trivet uninstall podman` takes it out
[engine]
runtime = "trivet"
# A list takes the place of another file's: the names without trivet were there before.
runtime_supports_json = ["crun", "trivet", "trivet-microvm", "trivet-wasm"]
runtime_supports_kvm = ["krun", "trivet-microvm"]
runtime_supports_nocgroup = ["trivet", "trivet-microvm", "trivet-wasm"]

[engine.runtimes]
trivet = ["/usr/bin/trivet-oci", "/usr/bin/crun"]
trivet-microvm = ["/d/krun"]
trivet-wasm = ["/d/crun-wasm"]
krun = ["/usr/bin/krun", "/usr/local/bin/krun", "/d/krun"]
crun-wasm = ["/usr/bin/crun-wasm", "/usr/local/bin/crun-wasm", "/d/crun-wasm"]
# END trivet
)");
  EXPECT_EQ(text_of(remove_drop_in({"f", text})), "");
  EXPECT_EQ(text_of(remove_drop_in({"f", "# mine\n" + text})), "# mine\n");
}

TEST(Crio, RegistersEachHandler) {
  EXPECT_EQ(text_of(add_crio({"f", ""}, one(true))),
            R"(# BEGIN trivet: `trivet uninstall cri-o` takes it out
[crio.runtime]
default_runtime = "trivet"

[crio.runtime.runtimes.trivet]
runtime_path = "/usr/bin/trivet-oci"
runtime_type = "oci"
runtime_root = "/run/trivet/crio"
allowed_annotations = ["run.oci.", "module.wasm.image/variant"]
# END trivet
)");
}

TEST(Blocks, AnEndThatIsGoneIsAnError) {
  EXPECT_TRUE(
      text_of(remove_drop_in({"f", "# BEGIN trivet: x\n[a]\n"})).starts_with("error: f:1: "));
}

}  // namespace
}  // namespace trivet::install
