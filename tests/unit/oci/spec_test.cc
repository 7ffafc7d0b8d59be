#include "oci/spec.h"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace trivet::oci {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// A config from tests/unit/oci/data.
std::string read_data(const std::string& name) {
  std::ifstream file(TEST_DATA_DIR "/" + name);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Spec parse_good(std::string_view text) {
  auto spec = parse_spec(text);
  EXPECT_TRUE(spec.has_value()) << spec.error().message();
  return spec.value_or(Spec{});
}

// Written by runc 1.1 and crun 1.8, and by hand what Docker and Podman write and the rest of 1.3.
class RealConfig : public testing::TestWithParam<const char*> {};

TEST_P(RealConfig, PrintsToWhatParsesToTheSame) {
  const std::string printed = print_spec(parse_good(read_data(GetParam())));
  EXPECT_EQ(print_spec(parse_good(printed)), printed);
}

INSTANTIATE_TEST_SUITE_P(All, RealConfig,
                         testing::Values("runc-spec.json", "runc-rootless.json", "crun-spec.json",
                                         "docker.json", "podman.json", "full.json"));

TEST(Spec, NothingIsLostOfTheConfigWithEveryMember) {
  const std::string text = read_data("full.json");
  EXPECT_EQ(json::parse(print_spec(parse_good(text))), json::parse(text));
}

TEST(Spec, NothingIsLostOfAConfigOfPodman) {
  const std::string text = read_data("podman.json");
  json expected = json::parse(text);
  for (const char* set : {"ambient", "inheritable"}) {
    expected["process"]["capabilities"].erase(set);  // empty there, absent here
  }
  EXPECT_EQ(json::parse(print_spec(parse_good(text))), expected);
}

TEST(Spec, MembersOfDocker) {
  const Spec spec = parse_good(read_data("docker.json"));
  EXPECT_EQ(spec.oci_version, "1.2.1");
  EXPECT_EQ(spec.process->args.at(0), "/docker-entrypoint.sh");
  EXPECT_THAT(spec.process->user.additional_gids, ElementsAre(0, 10));
  EXPECT_EQ(spec.process->oom_score_adj, 0);
  const Resources& resources = *spec.linux_config->resources;
  EXPECT_EQ(resources.pids_limit, 50);
  EXPECT_EQ(resources.memory->limit, 67108864);
  EXPECT_EQ(resources.memory->disable_oom_killer, std::nullopt);
  EXPECT_EQ(resources.memory->swappiness, std::nullopt) << "Docker's unsigned -1";
  EXPECT_EQ(resources.cpu->shares, std::nullopt) << "0 is not set";
  EXPECT_EQ(resources.cpu->quota, 50000);
  EXPECT_EQ(resources.devices.at(0).type, 'a');
  EXPECT_EQ(resources.devices.at(2).minor, std::nullopt) << "-1 is all";
  EXPECT_EQ(resources.devices.at(2).major, 136);
  EXPECT_EQ(spec.linux_config->seccomp->syscalls.size(), 12U);
  EXPECT_NE(spec.linux_config->find_namespace(NamespaceType::kTime), nullptr);
  EXPECT_EQ(spec.hooks.prestart.at(0).path, "/proc/1040/exe");
}

TEST(Spec, LimitOfPidsIsAPointer) {
  const auto limit = [](std::string_view text) { return parse_resources(text)->pids_limit; };
  EXPECT_EQ(limit(R"({})"), std::nullopt);
  EXPECT_EQ(limit(R"({"pids":{}})"), std::nullopt);
  EXPECT_EQ(limit(R"({"pids":{"limit":null}})"), std::nullopt);
  EXPECT_EQ(limit(R"({"pids":{"limit":0}})"), 0);
  EXPECT_EQ(limit(R"({"pids":{"limit":-1}})"), -1);
}

TEST(Spec, AcceptsTheVersionsOfTheField) {
  for (const char* version :
       {"1.0.0", "1.0.2-dev", "1.0.0-rc5", "1.1.0+dev", "1.2.1", "1.3.0", "1.3.9-rc.1+build.5"}) {
    json document = json::parse(print_spec(default_spec(SpecKind::kRoot)));
    document["ociVersion"] = version;
    EXPECT_TRUE(parse_spec(document.dump()).has_value()) << version;
  }
}

TEST(Spec, DestinationsAreNormalizedBelowTheRoot) {
  const auto destination = [](std::string_view path) {
    json document = json::parse(print_spec(default_spec(SpecKind::kRoot)));
    document["mounts"] = {{{"destination", path}, {"type", "tmpfs"}}};
    return parse_good(document.dump()).mounts.at(0).destination;
  };
  EXPECT_EQ(destination("data"), "/data");
  EXPECT_EQ(destination("/a//b/./c/"), "/a/b/c");
  EXPECT_EQ(destination("../../etc"), "/etc");
  EXPECT_EQ(destination("/a/../b"), "/b");
  EXPECT_EQ(destination("/"), "/");
}

TEST(Spec, NullIsAbsentAndTheLastOfEqualNamesCounts) {
  const auto process = parse_process(
      R"({"args":["a"],"cwd":"/","cwd":"/b","user":null,"rlimits":null,"capabilities":null,
          "oomScoreAdj":null,"unknown":{"x":[1]}})");
  ASSERT_TRUE(process.has_value()) << process.error().message();
  EXPECT_EQ(process->cwd, "/b");
  EXPECT_FALSE(process->capabilities.has_value());
  EXPECT_FALSE(process->oom_score_adj.has_value());
}

TEST(Spec, ReadsBothSpellingsOfHwConfig) {
  for (const char* name : {"hwConfig", "hwconfig"}) {
    json document = json::parse(print_spec(default_spec(SpecKind::kRoot)));
    // Go writes the objects that are not set, too.
    document["vm"] = {{"hypervisor", {{"path", ""}}},
                      {"kernel", {{"path", ""}}},
                      {"image", {{"path", ""}, {"format", ""}}},
                      {name, {{"vcpus", 2}, {"memory", 1073741824}}}};
    const Spec spec = parse_good(document.dump());
    EXPECT_EQ(spec.vm->hw_config->vcpus, 2U);
    EXPECT_EQ(spec.vm->hw_config->memory, 1073741824U);
    EXPECT_FALSE(spec.vm->hypervisor || spec.vm->kernel || spec.vm->image);
  }
}

TEST(Spec, SysctlsBelongToTheirNamespaces) {
  json document = json::parse(print_spec(default_spec(SpecKind::kRoot)));
  document["linux"]["sysctl"] = {{"net/ipv4/conf/eth0.1/rp_filter", "1"},
                                 {"kernel.shmmax", "1"},
                                 {"kernel.domainname", "d"},
                                 {"fs.mqueue.msg_max", "1"}};
  EXPECT_TRUE(parse_spec(document.dump()).has_value());
}

TEST(Spec, UnknownNamesComeWithAHint) {
  const auto process = parse_process(
      R"({"args":["a"],"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILES","hard":1,"soft":1}]})");
  ASSERT_FALSE(process.has_value());
  EXPECT_THAT(process.error().hint_text(), HasSubstr("RLIMIT_NOFILE"));
}

TEST(Spec, DefaultsAreTheOnesOfRunc) {
  const json ours = json::parse(print_spec(default_spec(SpecKind::kRoot)));
  json theirs = json::parse(print_spec(parse_good(read_data("runc-spec.json"))));
  // runc 1.1 has an older version, another name, ambient capabilities and no /proc/acpi first.
  EXPECT_EQ(ours["mounts"], theirs["mounts"]);
  EXPECT_EQ(ours["process"]["args"], theirs["process"]["args"]);
  EXPECT_EQ(ours["process"]["rlimits"], theirs["process"]["rlimits"]);
  EXPECT_EQ(ours["linux"]["maskedPaths"], theirs["linux"]["maskedPaths"]);
  EXPECT_EQ(ours["linux"]["readonlyPaths"], theirs["linux"]["readonlyPaths"]);
  EXPECT_EQ(ours["linux"]["resources"], theirs["linux"]["resources"]);
  EXPECT_EQ(ours["root"], theirs["root"]);
}

TEST(Spec, DefaultsParse) {
  EXPECT_TRUE(parse_spec(print_spec(default_spec(SpecKind::kRoot))).has_value());
  const Spec rootless = parse_good(print_spec(default_spec(SpecKind::kRootless)));
  EXPECT_EQ(rootless.linux_config->find_namespace(NamespaceType::kNetwork), nullptr);
  EXPECT_NE(rootless.linux_config->find_namespace(NamespaceType::kUser), nullptr);
  EXPECT_FALSE(rootless.linux_config->resources.has_value());
}

TEST(Spec, ProcessPrintsOnOneLine) {
  Process process;
  process.args = {"echo", "a\"b\\c\n\x01é\xff"};
  EXPECT_EQ(print_process(process),
            "{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"echo\",\"a\\\"b\\\\c\\n\\u0001é\uFFFD\"],"
            "\"cwd\":\"/\"}");
}

}  // namespace
}  // namespace trivet::oci
