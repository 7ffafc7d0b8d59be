#include "linux/cgroup_devices.h"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::cgroup {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint32_t kChar = BPF_DEVCG_DEV_CHAR;
constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK;

// Runs a program of the instructions that the generator uses, as the kernel would.
bool run(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
         uint32_t minor) {
  const std::array<uint32_t, 3> context = {access << 16U | type, major, minor};
  std::array<uint64_t, 11> r{};
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const bpf_insn& insn = program[pc];
    uint64_t& target = r.at(insn.dst_reg);
    const auto value = static_cast<uint32_t>(insn.imm);
    switch (insn.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        target = context.at(static_cast<size_t>(insn.off) / 4);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_X:
        target = r.at(insn.src_reg);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = value;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        target = static_cast<uint32_t>(target) & value;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        target = static_cast<uint32_t>(target) >> value;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        if (static_cast<uint32_t>(target) != value) pc += static_cast<size_t>(insn.off);
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        if (static_cast<uint32_t>(target) == value) pc += static_cast<size_t>(insn.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return r[0] != 0;
      default:
        ADD_FAILURE() << "unknown instruction " << int{insn.code};
        return false;
    }
  }
  ADD_FAILURE() << "the program has no end";
  return false;
}

oci::DeviceRule rule(bool allow, char type, std::optional<int64_t> major,
                     std::optional<int64_t> minor, std::string access) {
  return {allow, type, major, minor, std::move(access)};
}

const oci::DeviceRule kDenyAll = rule(false, 'a', {}, {}, "rwm");

TEST(DeviceProgram, DeniesAllButBasicDevices) {
  const auto program = device_program(make_device_policy({kDenyAll}).value());
  EXPECT_TRUE(run(program, kChar, kRead | kWrite, 1, 3));
  EXPECT_TRUE(run(program, kChar, kRead, 136, 77));
  EXPECT_TRUE(run(program, kChar, kMknod, 99, 99));
  EXPECT_TRUE(run(program, kBlock, kMknod, 8, 0));
  EXPECT_FALSE(run(program, kChar, kRead, 1, 11));
  EXPECT_FALSE(run(program, kBlock, kRead, 1, 3));
  EXPECT_FALSE(run(program, kChar, kRead | kMknod, 1, 11));
  EXPECT_FALSE(run(program, kChar, kRead, 5, 1));
}

TEST(DeviceProgram, AccessesOfSeveralRulesAddUp) {
  const auto policy =
      make_device_policy({kDenyAll, rule(true, 'b', 8, {}, "r"), rule(true, 'b', 8, 1, "w")});
  const auto program = device_program(*policy);
  EXPECT_TRUE(run(program, kBlock, kRead | kWrite, 8, 1));
  EXPECT_TRUE(run(program, kBlock, kRead, 8, 2));
  EXPECT_FALSE(run(program, kBlock, kRead | kWrite, 8, 2));
}

TEST(DeviceProgram, TheLastRuleCounts) {
  const auto allow_but = device_program(
      make_device_policy({rule(true, 'a', {}, {}, "rwm"), rule(false, 'c', 1, 11, "w")}).value());
  EXPECT_TRUE(run(allow_but, kChar, kRead, 1, 11));
  EXPECT_FALSE(run(allow_but, kChar, kRead | kWrite, 1, 11));
  EXPECT_TRUE(run(allow_but, kChar, kWrite, 1, 12));

  const auto twice = device_program(
      make_device_policy({kDenyAll, rule(false, 'c', 10, {}, "rw"), rule(true, 'c', 10, 229, "rw")})
          .value());
  EXPECT_TRUE(run(twice, kChar, kRead | kWrite, 10, 229));
  EXPECT_FALSE(run(twice, kChar, kRead, 10, 228));
}

TEST(DeviceProgram, WildcardTypeIsBothKinds) {
  const auto program =
      device_program(make_device_policy({kDenyAll, rule(true, 'a', 7, {}, "r")}).value());
  EXPECT_TRUE(run(program, kBlock, kRead, 7, 0));
  EXPECT_TRUE(run(program, kChar, kRead, 7, 0));
  EXPECT_FALSE(run(program, kChar, kWrite, 7, 0));
}

TEST(DevicePolicy, NoRulesDeny) {
  const auto policy = make_device_policy({});
  ASSERT_TRUE(policy);
  EXPECT_FALSE(policy->default_allow);
}

TEST(DevicePolicy, BadRulesAreRefused) {
  EXPECT_FALSE(make_device_policy({rule(true, 'x', {}, {}, "r")}));
  EXPECT_FALSE(make_device_policy({rule(true, 'c', {}, {}, "rx")}));
}

TEST(DevicesV1, FreshCgroupGetsDenyThenAllows) {
  const auto writes = plan_devices_v1(
      make_device_policy({kDenyAll, rule(true, 'b', 8, {}, "r")}).value(), "a *:* rwm\n");
  ASSERT_TRUE(writes);
  EXPECT_EQ(writes->at(0), (DeviceWrite{false, "a"}));
  EXPECT_EQ(writes->at(1), (DeviceWrite{true, "b 8:* r"}));
  EXPECT_EQ(writes->at(2), (DeviceWrite{true, "c *:* m"}));
  EXPECT_EQ(writes->size(), 13U);
}

TEST(DevicesV1, UpdateWritesTheDifference) {
  DevicePolicy policy;
  policy.exceptions = {{true, 'c', 1, 3, kRead | kWrite}, {true, 'c', 1, 5, kRead}};
  const auto writes = plan_devices_v1(policy, "c 1:3 rwm\nb 8:* r\n");
  ASSERT_TRUE(writes);
  EXPECT_THAT(*writes, ElementsAre(DeviceWrite{false, "c 1:3 m"}, DeviceWrite{false, "b 8:* r"},
                                   DeviceWrite{true, "c 1:5 r"}));
}

TEST(DevicesV1, PrivilegedNeedsNoWrite) {
  const auto policy = make_device_policy({rule(true, 'a', {}, {}, "rwm")});
  EXPECT_THAT(plan_devices_v1(*policy, "a *:* rwm\n").value(), IsEmpty());
  EXPECT_THAT(plan_devices_v1(*policy, "c 1:3 rwm\n").value(), ElementsAre(DeviceWrite{true, "a"}));
}

TEST(DevicesV1, PartOfAWiderRuleCannotBeDenied) {
  const auto policy =
      make_device_policy({kDenyAll, rule(true, 'c', 10, {}, "rw"), rule(false, 'c', 10, 229, "w")});
  const auto writes = plan_devices_v1(*policy, "a *:* rwm");
  ASSERT_FALSE(writes);
  EXPECT_EQ(writes.error().code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace trivet::cgroup
