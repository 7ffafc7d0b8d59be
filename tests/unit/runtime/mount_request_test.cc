#include "runtime/mount_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = MountRequest::Kind;

TEST(Volume, HostPathIsABind) {
  const auto request = parse_volume("/srv/data:/data:ro", "/home/me");
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->kind, Kind::kBind);
  EXPECT_EQ(request->source, "/srv/data");
  EXPECT_EQ(request->destination, "/data");
  EXPECT_TRUE(request->read_only);
  EXPECT_THAT(request->options, ElementsAre("rbind", "rprivate", "rro"));
}

TEST(Volume, RelativePathStartsAtTheWorkingDirectory) {
  EXPECT_EQ(parse_volume("./x/../y:/data/", "/home/me")->source, "/home/me/y");
  EXPECT_EQ(parse_volume(".:/data", "/home/me")->source, "/home/me");
}

TEST(Volume, NameIsAVolumeThatIsFilledFromTheImage) {
  const auto request = parse_volume("cache:/var/cache", "/");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->kind, Kind::kVolume);
  EXPECT_EQ(request->source, "cache");
  EXPECT_TRUE(request->copy_up);
  EXPECT_FALSE(parse_volume("cache:/var/cache:nocopy", "/")->copy_up);
}

TEST(Volume, DestinationAloneIsAnonymous) {
  const auto request = parse_volume("/data", "/");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->kind, Kind::kVolume);
  EXPECT_EQ(request->source, "");
  EXPECT_EQ(request->destination, "/data");
}

TEST(Volume, PropagationAndFlagsAreKept) {
  EXPECT_THAT(parse_volume("/a:/b:rshared,nosuid,z", "/")->options,
              ElementsAre("rbind", "rshared", "nosuid"));
}

TEST(Volume, BadOnesAreRefused) {
  for (const char* bad : {"", ":", "/a:", "/a:relative", "/a:/", "/a:/b:ro:more", "x y:/a",
                          "b@d:/a", "/a:/b:sideways", "/a:/b:nocopy", "data:/b:U", "name"}) {
    EXPECT_FALSE(parse_volume(bad, "/")) << bad;
  }
  EXPECT_THAT(parse_volume("/a:/b:sideways", "/").error().message(), HasSubstr("sideways"));
}

TEST(Mount, KindsByType) {
  const auto bind = parse_mount(
      {.type = "bind", .source = "/a", .destination = "/b", .options = {"readonly"}}, "/");
  ASSERT_TRUE(bind);
  EXPECT_TRUE(bind->read_only);
  const auto volume =
      parse_mount({.type = "volume", .source = "vol", .destination = "/b", .options = {}}, "/");
  ASSERT_TRUE(volume);
  EXPECT_EQ(volume->kind, Kind::kVolume);
  const auto tmpfs = parse_mount(
      {.type = "tmpfs", .source = "", .destination = "/t", .options = {"tmpfs-size=64m"}}, "/");
  ASSERT_TRUE(tmpfs) << tmpfs.error().message();
  EXPECT_THAT(tmpfs->options, ElementsAre("nosuid", "nodev", "noexec", "size=64m"));
  EXPECT_FALSE(
      parse_mount({.type = "npipe", .source = "", .destination = "/t", .options = {}}, "/"));
  EXPECT_FALSE(
      parse_mount({.type = "bind", .source = "", .destination = "/t", .options = {}}, "/"));
}

TEST(Tmpfs, IsHardenedUnlessToldOtherwise) {
  EXPECT_THAT(parse_tmpfs("/run")->options, ElementsAre("nosuid", "nodev", "noexec"));
  EXPECT_THAT(parse_tmpfs("/run:rw,exec,size=1m")->options,
              ElementsAre("nosuid", "nodev", "exec", "size=1m"));
  EXPECT_FALSE(parse_tmpfs("/run:lowerdir=/etc"));
  EXPECT_FALSE(parse_tmpfs("run"));
}

TEST(NormalPath, HasOneFormOnly) {
  EXPECT_EQ(*normal_path("/a//b/./c/../d/"), "/a/b/d");
  EXPECT_EQ(*normal_path("//"), "/");
  EXPECT_EQ(*normal_path("/../.."), "/");
  EXPECT_FALSE(normal_path("a"));
  EXPECT_FALSE(normal_path(""));
  EXPECT_FALSE(normal_path(std::string_view("/a\0b", 4)));
}

}  // namespace
}  // namespace trivet::runtime
