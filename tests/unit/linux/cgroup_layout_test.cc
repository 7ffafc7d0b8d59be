#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "linux/cgroup.h"

namespace trivet::cgroup {
namespace {

using testing::ElementsAre;

bool everything_visible(const std::string& /*mount_point*/, bool /*v2*/) {
  return true;
}

TEST(Layout, PureV2) {
  const auto layout = parse_layout(
      "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
      "0::/user.slice/a\n", everything_visible);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->mode, Mode::kV2);
  ASSERT_EQ(layout->hierarchies.size(), 1U);
  EXPECT_EQ(layout->hierarchies[0].mount_point, "/sys/fs/cgroup");
  EXPECT_EQ(layout->hierarchies[0].own_path, "/user.slice/a");
  EXPECT_TRUE(layout->hierarchies[0].v2);
}

constexpr const char* kHybridMounts =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
constexpr const char* kHybridOwn =
    "9:name=systemd:/\n4:memory:/a/b\n1:cpu,cpuacct:/\n3:pids:/\n0::/\n";

TEST(Layout, HybridHasEveryMountedHierarchy) {
  const auto layout = parse_layout(kHybridMounts, kHybridOwn, everything_visible);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->mode, Mode::kHybrid);
  ASSERT_EQ(layout->hierarchies.size(), 4U);  // pids is not mounted
  EXPECT_THAT(layout->hierarchies[0].controllers, ElementsAre("name=systemd"));
  EXPECT_EQ(layout->hierarchies[1].own_path, "/a/b");
  EXPECT_THAT(layout->hierarchies[2].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(layout->hierarchies[2].mount_point, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_TRUE(layout->hierarchies[3].v2);
}

TEST(Layout, HiddenMountsAreLeftOut) {
  const auto layout = parse_layout(kHybridMounts, kHybridOwn,
                                   [](const std::string& /*mount*/, bool v2) { return !v2; });
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->mode, Mode::kV1);
}

TEST(Layout, MountInsideTheCgroupNamespaceIsPreferred) {
  const auto layout = parse_layout(
      "35 31 0:32 /.. /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "95 90 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "99 90 0:32 /.. /mnt/memory rw - cgroup cgroup rw,memory\n",
      "4:memory:/\n", everything_visible);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->hierarchies[0].mount_point, "/sys/fs/cgroup/memory");
}

TEST(Layout, PathIsRelativeToAPartialMount) {
  const auto layout =
      parse_layout("35 31 0:32 /docker/abc /sys/fs/cgroup\\040x rw - cgroup cgroup rw,memory\n",
                   "4:memory:/docker/abc/inner\n", everything_visible);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->hierarchies[0].mount_point, "/sys/fs/cgroup x");
  EXPECT_EQ(layout->hierarchies[0].own_path, "/inner");
}

TEST(Layout, NothingMountedIsUnsupported) {
  const auto layout =
      parse_layout("1 0 8:1 / / rw - ext4 /dev/sda rw\n", kHybridOwn, everything_visible);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code(), ErrorCode::kUnsupported);
}

TEST(Layout, GarbageIsNotFatal) {
  EXPECT_FALSE(parse_layout(" - cgroup\n - cgroup2 x\n:::\n", "::\nx\n:\n", everything_visible));
}

TEST(Driver, NamesOfCallers) {
  EXPECT_EQ(parse_driver("cgroupfs").value(), Driver::kCgroupfs);
  EXPECT_EQ(parse_driver("systemd").value(), Driver::kSystemd);
  EXPECT_EQ(parse_driver("disabled").value(), Driver::kDisabled);
  EXPECT_FALSE(parse_driver("systemc"));
}

}  // namespace
}  // namespace trivet::cgroup
