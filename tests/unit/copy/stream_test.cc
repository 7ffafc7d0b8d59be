#include "copy/stream.h"

#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"

namespace trivet::copy {
namespace {

using testing::HasSubstr;

class Stream : public testing::Test {
 protected:
  Stream() {
    std::string name = "/tmp/trivet-copy-XXXXXX";
    path_ = mkdtemp(name.data());
    for (const char* directory : {"/from/tree/inner", "/to", "/outside"}) {
      (void)make_dirs(path_ + directory);
    }
    write("from/tree/file", "content");
    write("from/tree/inner/deep", std::string(100000, 'd'));
    write("outside/secret", "untouched");
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() override { (void)remove_tree(AT_FDCWD, path_); }

  void write(const std::string& name, const std::string& content) {
    EXPECT_TRUE(replace_file(AT_FDCWD, path_ + "/" + name, content));
  }
  std::string read(const std::string& name) {
    return read_file(path_ + "/" + name).value_or("(missing)");
  }
  [[nodiscard]] Side side(const std::string& name) const {
    Side side{.root = {}, .path = path_ + "/" + name, .label = name};
    return side;
  }

  std::string sent(const std::string& from) {
    std::string bytes;
    const auto done = send_copy(side(from), [&](std::string_view piece) -> Result<> {
      bytes += piece;
      return {};
    });
    EXPECT_TRUE(done) << done.error().message();
    return bytes;
  }
  Result<> received(const std::string& bytes, const std::string& source, const std::string& to) {
    const auto next = [&bytes, at = size_t{0}](char* buffer,
                                               size_t size) mutable -> Result<size_t> {
      const size_t count = std::min(size, bytes.size() - at);
      std::memcpy(buffer, bytes.data() + at, count);
      at += count;
      return count;
    };
    return receive_copy(next, source, side(to), {.owner = std::pair(geteuid(), getegid())});
  }
  void copy(const std::string& from, const std::string& to) {
    const auto done = received(sent(from), from, to);
    EXPECT_TRUE(done) << done.error().message();
  }

  std::string path_;
};

std::string stream_of(const std::vector<TarEntry>& entries) {
  std::string bytes;
  for (const TarEntry& entry : entries) {
    bytes += print_tar_header(entry) + std::string(entry.size, 'x') +
             std::string(tar_padding(entry.size));
  }
  return bytes + std::string(tar_end());
}

using Type = TarEntry::Type;

TEST_F(Stream, NamesGoByDockersRules) {
  copy("from/tree/file", "to");
  EXPECT_EQ(read("to/file"), "content");
  copy("from/tree/file", "to/renamed");
  EXPECT_EQ(read("to/renamed"), "content");
  copy("from/tree", "to");
  EXPECT_EQ(read("to/tree/inner/deep"), std::string(100000, 'd'));
  copy("from/tree", "to/new");
  EXPECT_EQ(read("to/new/file"), "content");
  copy("from/tree/.", "to/new/inner");
  EXPECT_EQ(read("to/new/inner/file"), "content");
  copy("from/tree/", "to/slash");
  EXPECT_EQ(read("to/slash/file"), "content");
}

TEST_F(Stream, ModesTimesAndLinksAreKept) {
  ASSERT_EQ(chmod((path_ + "/from/tree/inner").c_str(), 0555), 0);
  ASSERT_EQ(chmod((path_ + "/from/tree/file").c_str(), 0710), 0);
  ASSERT_EQ(symlink("/nowhere", (path_ + "/from/tree/link").c_str()), 0);
  copy("from/tree", "to");
  struct stat from{};
  struct stat to{};
  for (const char* name : {"tree", "tree/inner", "tree/file", "tree/inner/deep"}) {
    ASSERT_EQ(stat((path_ + "/from/" + name).c_str(), &from), 0);
    ASSERT_EQ(stat((path_ + "/to/" + name).c_str(), &to), 0);
    EXPECT_EQ(from.st_mode, to.st_mode) << name;
    EXPECT_EQ(from.st_mtim.tv_sec, to.st_mtim.tv_sec) << name;
    EXPECT_EQ(from.st_mtim.tv_nsec, to.st_mtim.tv_nsec) << name;
  }
  ASSERT_EQ(lstat((path_ + "/to/tree/link").c_str(), &to), 0);
  EXPECT_TRUE(S_ISLNK(to.st_mode));
  ASSERT_EQ(chmod((path_ + "/from/tree/inner").c_str(), 0755), 0);
}

TEST_F(Stream, FilesWithoutASizeHaveContent) {
  Side proc{.root = {}, .path = "/proc/version", .label = "version"};
  std::string bytes;
  ASSERT_TRUE(send_copy(proc, [&](std::string_view piece) -> Result<> {
    bytes += piece;
    return {};
  }));
  ASSERT_TRUE(received(bytes, "/proc/version", "to"));
  EXPECT_THAT(read("to/version"), HasSubstr("Linux"));
}

TEST_F(Stream, KindsDoNotReplaceEachOther) {
  write("to/tree", "a file");
  EXPECT_FALSE(received(sent("from/tree"), "from/tree", "to"));
  EXPECT_EQ(read("to/tree"), "a file");
  (void)make_dirs(path_ + "/to/file");
  EXPECT_FALSE(received(sent("from/tree/file"), "from/tree/file", "to"));
}

TEST_F(Stream, AHostileStreamDoesNotLeaveItsDirectory) {
  // Through a symlink it has made itself, the classical one.
  EXPECT_FALSE(
      received(stream_of({{.type = Type::kDirectory, .path = "top"},
                          {.type = Type::kSymlink, .path = "top/way", .target = "../../outside"},
                          {.path = "top/way/secret", .size = 3}}),
               "top", "to"));
  // The top itself is a link, to a neighbour of the destination.
  EXPECT_FALSE(received(stream_of({{.type = Type::kSymlink, .path = "top", .target = "../outside"},
                                   {.path = "top/secret", .size = 3}}),
                        "top", "to"));
  // Through one that is there.
  ASSERT_EQ(symlink("../outside", (path_ + "/to/existing").c_str()), 0);
  EXPECT_FALSE(received(stream_of({{.type = Type::kDirectory, .path = "existing"},
                                   {.path = "existing/secret", .size = 3}}),
                        "existing", "to"));
  // A second top, which would be a neighbour.
  EXPECT_FALSE(received(stream_of({{.type = Type::kDirectory, .path = "top"}, {.path = "other"}}),
                        "top", "to"));
  EXPECT_EQ(read("outside/secret"), "untouched");
  EXPECT_FALSE(exists(path_ + "/to/other"));
}

TEST_F(Stream, AHostileStreamBringsNothingDangerous) {
  ASSERT_TRUE(received(
      stream_of({{.type = Type::kDirectory, .path = "top", .mode = 0755},
                 {.path = "top/setuid", .mode = 06755},
                 {.type = Type::kCharacterDevice, .path = "top/null", .major = 1, .minor = 3}}),
      "top", "to"));
  struct stat status{};
  ASSERT_EQ(stat((path_ + "/to/top/setuid").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0755U);
  EXPECT_FALSE(exists(path_ + "/to/top/null"));
  EXPECT_FALSE(
      received(stream_of({{.type = Type::kDirectory, .path = "links"},
                          {.path = "links/a"},
                          {.type = Type::kHardLink, .path = "links/b", .target = "links/a"}}),
               "links", "to"));
}

TEST_F(Stream, ATarStreamFollowsLinksInsideAndMakesParents) {
  (void)make_dirs(path_ + "/to/usr/bin");
  ASSERT_EQ(symlink("usr/bin", (path_ + "/to/bin").c_str()), 0);
  const std::string bytes =
      stream_of({{.path = "bin/tool", .mode = 04755, .uid = geteuid(), .gid = getegid(), .size = 4},
                 {.path = "new/place/file", .uid = geteuid(), .gid = getegid(), .size = 2},
                 {.type = Type::kHardLink, .path = "alias", .target = "bin/tool"}});
  const auto next = [&bytes, at = size_t{0}](char* buffer, size_t size) mutable -> Result<size_t> {
    const size_t count = std::min(size, bytes.size() - at);
    std::memcpy(buffer, bytes.data() + at, count);
    at += count;
    return count;
  };
  const auto done = receive_tar(
      next, side("to"),
      {.trust = UnpackOptions::Trust::kTrusted, .parents = UnpackOptions::Parents::kFollowed});
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(read("to/usr/bin/tool"), "xxxx");
  EXPECT_EQ(read("to/new/place/file"), "xx");
  EXPECT_EQ(read("to/alias"), "xxxx");
}

}  // namespace
}  // namespace trivet::copy
