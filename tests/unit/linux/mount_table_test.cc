#include "linux/mount_table.h"

#include <algorithm>

#include <gmock/gmock.h>

namespace trivet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(MountTable, TellsRootPlaceTypeAndOptions) {
  const auto mounts = parse_mount_table(
      "22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n"
      "31 22 0:30 /a\\040b /mnt/with\\040space\\134 ro,relatime - cgroup cgroup rw,cpu,cpuacct\n");
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[0].type, "proc");
  EXPECT_EQ(mounts[0].mount_point, "/proc");
  EXPECT_EQ(mounts[1].root, "/a b");
  EXPECT_EQ(mounts[1].mount_point, "/mnt/with space\\");
  EXPECT_THAT(mounts[1].super_options, ElementsAre("rw", "cpu", "cpuacct"));
}

TEST(MountTable, LeavesOutWhatIsMalformed) {
  EXPECT_THAT(parse_mount_table(""), IsEmpty());
  EXPECT_THAT(parse_mount_table("22 1 0:21 / /proc rw\n- proc proc rw\n1 2 - x\n"), IsEmpty());
}

TEST(MountTable, OfThisProcessHasARoot) {
  const auto mounts = read_mount_table();
  ASSERT_TRUE(mounts.has_value());
  EXPECT_TRUE(
      std::ranges::any_of(*mounts, [](const MountEntry& m) { return m.mount_point == "/"; }));
}

}  // namespace
}  // namespace trivet
