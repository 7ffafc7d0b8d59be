#include "container/mount_options.h"

#include <sys/mount.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <linux/mount.h>

namespace trivet::container {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(MountOptions, SplitWhatTheVfsTakesFromWhatTheFileSystemTakes) {
  const auto options = parse_mount_options({"nosuid", "ro", "size=64m", "mode=755", "newinstance"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->attr_set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY);
  EXPECT_THAT(options->parameters, ElementsAre(Pair("size", std::optional<std::string>("64m")),
                                               Pair("mode", std::optional<std::string>("755")),
                                               Pair("newinstance", std::optional<std::string>())));
}

TEST(MountOptions, TheLaterOneWins) {
  const auto options = parse_mount_options({"ro", "rw", "nosuid", "suid", "noexec"});
  EXPECT_EQ(options->attr_set, static_cast<uint64_t>(MOUNT_ATTR_NOEXEC));
  EXPECT_EQ(options->attr_clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
}

TEST(MountOptions, AccessTimeOptionsExcludeEachOther) {
  const auto options = parse_mount_options({"noatime", "strictatime"});
  EXPECT_EQ(options->attr_set, static_cast<uint64_t>(MOUNT_ATTR_STRICTATIME));
  EXPECT_EQ(options->attr_clear, static_cast<uint64_t>(MOUNT_ATTR__ATIME));
}

TEST(MountOptions, PartOfASource) {
  const auto options = parse_mount_options({"rbind", "x-trivet.sub-path=a/b=c", "ro"});
  EXPECT_EQ(options->sub_path, "a/b=c");
  EXPECT_TRUE(options->parameters.empty());
}

TEST(MountOptions, BindsAndPropagation) {
  const auto options = parse_mount_options({"rbind", "rslave", "rro"});
  EXPECT_TRUE(options->bind);
  EXPECT_TRUE(options->recursive);
  EXPECT_EQ(options->propagation, static_cast<uint64_t>(MS_SLAVE));
  EXPECT_TRUE(options->propagation_recursive);
  EXPECT_EQ(options->recursive_attr_set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY));
}

TEST(MountOptions, PropagationOfTheRoot) {
  EXPECT_FALSE(parse_propagation("sideways"));
  EXPECT_EQ(*parse_propagation("rshared"), static_cast<uint64_t>(MS_SHARED | MS_REC));
  EXPECT_EQ(*parse_propagation(""), 0U);
}

TEST(MountOptions, IdmappedMounts) {
  EXPECT_TRUE(parse_mount_options({"idmap"})->idmap);
  EXPECT_FALSE(parse_mount_options({"idmap"})->idmap_recursive);
  EXPECT_TRUE(parse_mount_options({"ridmap"})->idmap_recursive);
}

}  // namespace
}  // namespace trivet::container
