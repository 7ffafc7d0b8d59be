#include "linux/systemd_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::systemd {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string unit_of(const std::string& path) {
  const auto name = parse_scope_name(path, "ID", "system.slice");
  return name ? name->slice + " " + name->unit : name.error().message();
}

TEST(ScopeName, IsOfTheFormThatEnginesSend) {
  EXPECT_EQ(unit_of("system.slice:docker:1234"), "system.slice docker-1234.scope");
  EXPECT_EQ(unit_of("machine-a.slice:libpod:box.1"), "machine-a.slice libpod-box.1.scope");
  EXPECT_EQ(unit_of(":cri-containerd:x"), "system.slice cri-containerd-x.scope");
  EXPECT_EQ(unit_of("user.slice::alone"), "user.slice alone.scope");
  EXPECT_EQ(unit_of("-.slice:p:n"), "-.slice p-n.scope");
  EXPECT_EQ(unit_of(""), "system.slice trivet-ID.scope");
}

TEST(ScopeName, RefusesPathsAndSlices) {
  for (const char* path : {"/a/b", "a", "a:b", "a.slice:b:c:d", "a.slice:b:", "a.slice:b:/c"}) {
    const auto name = parse_scope_name(path, "ID", "system.slice");
    ASSERT_FALSE(name) << path;
    EXPECT_EQ(name.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(name.error().message(), HasSubstr("slice:prefix:name"));
  }
  EXPECT_THAT(unit_of("a.slice:b:c.slice"), HasSubstr("a scope, not a slice"));
  EXPECT_THAT(unit_of("a:b:c"), HasSubstr("\"a\" is no name of a slice"));
}

TEST(SlicePath, NestsByDashes) {
  EXPECT_EQ(slice_path("system.slice").value(), "/system.slice");
  EXPECT_EQ(slice_path("a-b-c.slice").value(), "/a.slice/a-b.slice/a-b-c.slice");
  EXPECT_EQ(slice_path("-.slice").value(), "");
}

TEST(SlicePath, RefusesOtherNames) {
  for (const char* name :
       {"", "a", ".slice", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice", "a.scope"}) {
    EXPECT_FALSE(slice_path(name)) << name;
  }
}

TEST(ManagerRoot, IsWhereTheInitScopeIs) {
  EXPECT_EQ(manager_root("0::/init.scope\n"), "");
  EXPECT_EQ(manager_root("0::/\n"), "");
  EXPECT_EQ(manager_root("0::/docker/x/init.scope\n"), "/docker/x");
  EXPECT_EQ(manager_root("4:memory:/y\n1:name=systemd:/lxc/init.scope\n0::/z\n"), "/lxc");
}

std::string printed(const Property& property) {
  std::string text = property.name + " " + property.signature;
  for (const std::string& word : property.words) text += " " + word;
  return text;
}

std::string value(std::string_view text) {
  const auto parsed = parse_value("P", text);
  return parsed ? printed(*parsed) : parsed.error().message();
}

TEST(Value, OfBasicTypes) {
  EXPECT_EQ(value("true"), "P b true");
  EXPECT_EQ(value("'some text'"), "P s some text");
  EXPECT_EQ(value("\"it's\""), "P s it's");
  EXPECT_EQ(value(R"('a\'b\n')"), "P s a'b\n");
  EXPECT_EQ(value("5"), "P i 5");
  EXPECT_EQ(value("-5"), "P i -5");
  EXPECT_EQ(value("5000000000"), "P x 5000000000");
  EXPECT_EQ(value("1.5"), "P d 1.5");
  EXPECT_EQ(value("uint64 5"), "P t 5");
  EXPECT_EQ(value("@t 5"), "P t 5");
  EXPECT_EQ(value(" byte  255 "), "P y 255");
  EXPECT_EQ(value("objectpath '/a'"), "P o /a");
}

TEST(Value, OfLists) {
  EXPECT_EQ(value("['a', 'b']"), "P as 2 a b");
  EXPECT_EQ(value("[uint64 1, 2]"), "P at 2 1 2");
  EXPECT_EQ(value("@as []"), "P as 0");
  EXPECT_EQ(value("[['a'], ['b', 'c']]"), "P aas 2 1 a 2 b c");
}

TEST(Value, RefusesTheRest) {
  for (const char* text : {"", "bogus", "'open", "[1, 'a']", "[]", "[1", "{'a': 1}", "(1, 2)",
                           "1 2", "uint64 -1", "byte 256", "uint64 'a'", "@", "@s 5", "true]"}) {
    EXPECT_FALSE(parse_value("P", text)) << text;
  }
  EXPECT_FALSE(parse_value("P", std::string(1000, '[')));
}

TEST(Annotations, BecomeProperties) {
  const auto properties = plan_annotations({{"org.systemd.property.TimeoutStopSec", "1.5"},
                                            {"org.systemd.property.TimeoutStopUSec", "uint64 9"},
                                            {"org.systemd.property.After", "['x.service']"},
                                            {"other", "value"}});
  ASSERT_TRUE(properties) << properties.error().message();
  std::vector<std::string> lines;
  for (const Property& property : *properties) lines.push_back(printed(property));
  EXPECT_THAT(lines, ElementsAre("After as 1 x.service", "TimeoutStopUSec t 1500000",
                                 "TimeoutStopUSec t 9"));
}

TEST(Annotations, AreNamedWhenTheyAreWrong) {
  for (const auto& [name, text] : std::map<std::string, std::string>{{"ab", "1"},
                                                                     {"Na-me", "1"},
                                                                     {"TimeoutStopSec", "'x'"},
                                                                     {"TimeoutStopSec ", "-1"},
                                                                     {"Good", "bad"}}) {
    const auto properties = plan_annotations({{"org.systemd.property." + name, text}});
    ASSERT_FALSE(properties) << name;
    EXPECT_THAT(properties.error().message(), HasSubstr("org.systemd.property." + name));
  }
}

std::vector<std::string> limits_v2(const oci::Resources& resources, const CpuMax& present = {}) {
  std::vector<std::string> lines;
  const auto properties = plan_limits(cgroup::plan_v2(resources).value(), present);
  for (const Property& property : properties.value()) {
    lines.push_back(printed(property));
  }
  return lines;
}

TEST(Limits, OfVersionTwo) {
  oci::Resources resources;
  resources.memory.emplace();
  resources.memory->limit = 1 << 20;
  resources.memory->swap = 3 << 20;
  resources.memory->reservation = 1 << 19;
  resources.cpu.emplace();
  resources.cpu->shares = 1024;
  resources.cpu->quota = 15500;
  resources.cpu->period = 50000;
  resources.cpu->cpus = "0-1,9";
  resources.cpu->mems = "0";
  resources.pids_limit = 7;
  resources.block_io.emplace();
  resources.block_io->weight = 10;
  EXPECT_THAT(limits_v2(resources),
              ElementsAre("MemorySwapMax t 2097152", "MemoryMax t 1048576", "MemoryLow t 524288",
                          "CPUWeight t 100", "AllowedCPUs ay 2 3 2", "AllowedMemoryNodes ay 1 1",
                          "TasksMax t 7", "IOWeight t 1", "CPUQuotaPeriodUSec t 50000",
                          "CPUQuotaPerSecUSec t 310000"));
}

TEST(Limits, ThatAreLifted) {
  oci::Resources resources;
  resources.memory.emplace();
  resources.memory->limit = -1;
  resources.pids_limit = -1;
  resources.cpu.emplace();
  resources.cpu->quota = -1;
  EXPECT_THAT(
      limits_v2(resources),
      ElementsAre("MemorySwapMax t 18446744073709551615", "MemoryMax t 18446744073709551615",
                  "TasksMax t 18446744073709551615", "CPUQuotaPeriodUSec t 100000",
                  "CPUQuotaPerSecUSec t 18446744073709551615"));
}

TEST(Limits, OfFilesByName) {
  oci::Resources resources;
  resources.unified = {{"memory.high", "4096"},
                       {"io.weight", "default 50"},
                       {"io.max", "8:0 rbps=1"},
                       {"cpu.max", "max 20000"}};
  EXPECT_THAT(limits_v2(resources),
              ElementsAre("IOWeight t 50", "MemoryHigh t 4096", "CPUQuotaPeriodUSec t 20000",
                          "CPUQuotaPerSecUSec t 18446744073709551615"));
}

TEST(Limits, AChangedPeriodKeepsTheQuota) {
  oci::Resources resources;
  resources.cpu.emplace();
  resources.cpu->period = 200000;
  EXPECT_THAT(limits_v2(resources, {.quota = 50000, .period = 100000}),
              ElementsAre("CPUQuotaPeriodUSec t 200000", "CPUQuotaPerSecUSec t 250000"));
}

TEST(Limits, OfVersionOne) {
  oci::Resources resources;
  resources.memory.emplace();
  resources.memory->limit = 4096;
  resources.cpu.emplace();
  resources.cpu->shares = 2;
  resources.cpu->quota = 1000;
  resources.cpu->cpus = "";
  std::vector<std::string> lines;
  const auto properties = plan_limits(cgroup::plan_v1(resources).value(), {});
  for (const Property& property : properties.value()) {
    lines.push_back(printed(property));
  }
  EXPECT_THAT(lines, ElementsAre("MemoryLimit t 4096", "CPUShares t 2",
                                 "CPUQuotaPeriodUSec t 100000", "CPUQuotaPerSecUSec t 10000"));
}

TEST(Devices, AreNamedAsSystemdKnowsThem) {
  using cgroup::DeviceException;
  const cgroup::DevicePolicy policy{
      .default_allow = false,
      .exceptions = {
          DeviceException{
              .allow = true, .type = 'c', .major = {}, .minor = {}, .access = cgroup::kMknod},
          DeviceException{.allow = true,
                          .type = 'c',
                          .major = 1,
                          .minor = 3,
                          .access = cgroup::kRead | cgroup::kWrite},
          DeviceException{
              .allow = true, .type = 'c', .major = 136, .minor = {}, .access = cgroup::kRead},
          DeviceException{
              .allow = true, .type = 'b', .major = 136, .minor = {}, .access = cgroup::kRead},
          DeviceException{
              .allow = false, .type = 'c', .major = 1, .minor = 5, .access = cgroup::kRead},
      }};
  const auto properties =
      plan_devices(policy, "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n259 blkext\n");
  ASSERT_EQ(properties.size(), 3U);
  EXPECT_EQ(printed(properties[0]), "DevicePolicy s strict");
  EXPECT_EQ(printed(properties[2]), "DeviceAllow a(ss) 3 char-* m /dev/char/1:3 rw char-pts r");
  EXPECT_EQ(printed(plan_devices({.default_allow = true, .exceptions = {}}, "")[0]),
            "DevicePolicy s auto");
}

TEST(Scope, HasTheProcessAndTheSlice) {
  std::vector<std::string> lines;
  for (const Property& property :
       plan_scope({.slice = "a.slice", .unit = "b.scope"}, "what it is", 42, true)) {
    lines.push_back(printed(property));
  }
  EXPECT_THAT(lines, ::testing::IsSupersetOf({"Slice s a.slice", "PIDs au 1 42", "Delegate b true",
                                              "Description s what it is", "IOAccounting b true",
                                              "DefaultDependencies b false"}));
  EXPECT_THAT(plan_limits({}, {}).value(), IsEmpty());
}

}  // namespace

}  // namespace trivet::systemd
