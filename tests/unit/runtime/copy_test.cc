#include "runtime/copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "copy/place.h"
#include "temporary_home.h"

namespace trivet::runtime {
namespace {

using copy::parse_copy_path;
using testing::HasSubstr;

class Copy : public testing::Test {
 protected:
  // A "container" that does not run: its root is a directory.
  Copy() {
    observed_.record.name = "box";
    observed_.record.rootfs = directory_ / "root";
    for (const char* path : {"root/etc", "root/srv/site", "host"}) {
      (void)make_dirs(directory_ / path);
    }
    write("root/etc/motd", "hello");
    write("root/srv/site/index", "page");
  }

  void write(const std::string& path, const std::string& content) {
    EXPECT_TRUE(replace_file(AT_FDCWD, directory_ / path, content));
  }
  std::string read(const std::string& path) {
    return read_file(directory_ / path).value_or("(missing)");
  }
  Result<> out(const std::string& path, const std::string& host) {
    return copy_out(home_, observed_, path, directory_ / host);
  }
  Result<> in(const std::string& host, const std::string& path) {
    return copy_in(home_, observed_, directory_ / host, path);
  }

  TemporaryDirectory directory_;
  Home home_ = make_home(directory_);
  Observed observed_;
};

TEST(CopyPath, PartsOfAPath) {
  EXPECT_EQ(parse_copy_path("/a/b").parent, "/a");
  EXPECT_EQ(parse_copy_path("/a/b").name, "b");
  EXPECT_EQ(parse_copy_path("/a").parent, "/");
  EXPECT_EQ(parse_copy_path("a").parent, ".");
  EXPECT_EQ(parse_copy_path("/").name, "");
  EXPECT_TRUE(parse_copy_path("/a/b/").must_be_directory);
  EXPECT_EQ(parse_copy_path("/a/b/").name, "b");
  EXPECT_TRUE(parse_copy_path("/a/b/.").contents);
  EXPECT_EQ(parse_copy_path("/a/b/.").name, "b");
  EXPECT_TRUE(parse_copy_path(".").contents);
  EXPECT_EQ(parse_copy_path("/a/..").parent, "/a/..");
}

TEST_F(Copy, FileToANewName) {
  ASSERT_TRUE(out("/etc/motd", "host/copy"));
  EXPECT_EQ(read("host/copy"), "hello");
}

TEST_F(Copy, FileIntoADirectory) {
  ASSERT_TRUE(out("etc/motd", "host"));
  EXPECT_EQ(read("host/motd"), "hello");
}

TEST_F(Copy, FileReplacesAFile) {
  write("host/old", "a longer old content");
  ASSERT_TRUE(in("host/old", "/etc/motd"));
  EXPECT_EQ(read("root/etc/motd"), "a longer old content");
}

TEST_F(Copy, DirectoryIntoADirectoryOrAsANewOne) {
  ASSERT_TRUE(out("/srv/site", "host"));
  EXPECT_EQ(read("host/site/index"), "page");
  ASSERT_TRUE(out("/srv/site", "host/new"));
  EXPECT_EQ(read("host/new/index"), "page");
  ASSERT_TRUE(out("/srv/site/.", "host"));
  EXPECT_EQ(read("host/index"), "page");
}

TEST_F(Copy, MissingPlacesAreNamed) {
  EXPECT_THAT(out("/nothing", "host").error().message(), HasSubstr("box:/nothing"));
  EXPECT_FALSE(out("/etc/motd", "nowhere/copy"));
  EXPECT_FALSE(out("/etc/motd", "host/new/"));
  EXPECT_FALSE(in("nothing", "/etc"));
}

TEST_F(Copy, DirectoryNeverReplacesAFile) {
  write("host/file", "keep");
  EXPECT_FALSE(out("/srv/site", "host/file"));
  EXPECT_EQ(read("host/file"), "keep");
}

TEST_F(Copy, SymlinksOfTheContainerStayInside) {
  write("secret", "of the host");
  ASSERT_EQ(symlink((directory_ / "secret").c_str(), (directory_ / "root/etc/link").c_str()), 0);
  ASSERT_EQ(symlink("/etc", (directory_ / "root/away").c_str()), 0);
  ASSERT_EQ(symlink("../../../../..", (directory_ / "root/up").c_str()), 0);
  // The link itself is copied, not what it would mean on the host.
  ASSERT_TRUE(out("/etc/link", "host/link"));
  struct stat status{};
  ASSERT_EQ(lstat((directory_ / "host/link").c_str(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
  // Through directories that are links, only the container's own are reached.
  write("host/new", "new");
  ASSERT_TRUE(in("host/new", "/away/new"));
  EXPECT_EQ(read("root/etc/new"), "new");
  ASSERT_TRUE(in("host/new", "/up/climbed"));
  EXPECT_EQ(read("root/climbed"), "new");
}

TEST_F(Copy, ModesAndTimesAreKept) {
  ASSERT_EQ(chmod((directory_ / "root/etc/motd").c_str(), 0751), 0);
  ASSERT_TRUE(out("/etc/motd", "host"));
  struct stat from{};
  struct stat to{};
  ASSERT_EQ(stat((directory_ / "root/etc/motd").c_str(), &from), 0);
  ASSERT_EQ(stat((directory_ / "host/motd").c_str(), &to), 0);
  EXPECT_EQ(to.st_mode, from.st_mode);
  EXPECT_EQ(to.st_mtim.tv_sec, from.st_mtim.tv_sec);
}

TEST_F(Copy, PathBelowAVolumeIsTheVolume) {
  (void)make_dirs(directory_ / "volume");
  write("volume/kept", "in the volume");
  observed_.record.options_json =
      R"({"Mounts":[{"Type":"volume","Destination":"/data","Source":")" + (directory_ / "volume") +
      R"("}]})";
  ASSERT_TRUE(out("/data/kept", "host"));
  EXPECT_EQ(read("host/kept"), "in the volume");
  EXPECT_FALSE(out("/database", "host"));
}

TEST_F(Copy, TarRoundTrip) {
  const UniqueFd root = *open_file(observed_.record.rootfs, O_RDONLY | O_DIRECTORY);
  const std::string tar = directory_ / "tar";
  {
    const UniqueFd output = *open_file(tar, O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(copy::write_tar(root.get(), "srv", copy::sink_to(output.get())));
  }
  const UniqueFd host = *open_file(directory_ / "host", O_RDONLY | O_DIRECTORY);
  const UniqueFd input = *open_file(tar, O_RDONLY);
  const auto extracted = read_tar(input.get(), host.get());
  ASSERT_TRUE(extracted) << extracted.error().message();
  EXPECT_EQ(read("host/srv/site/index"), "page");
}

TEST_F(Copy, TarIsForwardedInOurForm) {
  const UniqueFd root = *open_file(observed_.record.rootfs, O_RDONLY | O_DIRECTORY);
  const std::string tar = directory_ / "tar";
  {
    const UniqueFd output = *open_file(tar, O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(copy::write_tar(root.get(), "srv", copy::sink_to(output.get())));
  }
  const UniqueFd input = *open_file(tar, O_RDONLY);
  std::string forwarded;
  ASSERT_TRUE(forward_tar(input.get(), [&](std::string_view bytes) -> Result<> {
    forwarded += bytes;
    return {};
  }));
  EXPECT_EQ(forwarded, *read_file(tar));
}

}  // namespace
}  // namespace trivet::runtime
