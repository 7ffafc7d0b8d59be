// The disks of microVMs. Images are mounted here as the guest's kernel would: by loop devices where
// there are some, else they are read by what erofs-utils and e2fsprogs bring.
#include <algorithm>
#include <array>
#include <atomic>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "payload/microvm/host_tools.h"
#include "payload/microvm/image_disk.h"
#include "payload/microvm/scratch_disk.h"
#include "payload/scratch.h"

namespace trivet::payload::microvm {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

void whiteout(const std::string& path) {
  ASSERT_EQ(mknod(path.c_str(), S_IFCHR | 0600, makedev(0, 0)), 0) << path;
}

// A data directory with layers, of which the test fills the directories.
class ImageDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to mount overlays";
    if (find_host_tool("mkfs.erofs").empty()) GTEST_SKIP() << "needs mkfs.erofs";
  }

  // Returns the directory of the layer's files; the first one is the lowest.
  std::string add_layer() {
    const std::string hex = fmt::format("{:064x}", ++layers_);
    std::string diff = fmt::format("{}/layers/{}/diff", scratch.path(), hex);
    fs::create_directories(diff);
    lower.insert(lower.begin(), diff);
    return diff;
  }

  [[nodiscard]] std::string dump(const std::string& disk, const std::string& path) const {
    const auto output = run_program({find_host_tool("dump.erofs"), "--path=" + path, disk});
    return output ? output->stdout_text + output->stderr_text : output.error().message();
  }

  [[nodiscard]] std::vector<std::string> files() const {
    return list_dir(AT_FDCWD, scratch / "vm/images").value_or(std::vector<std::string>{});
  }

  Scratch scratch;
  std::vector<std::string> lower;

 private:
  int layers_ = 0;
};

TEST_F(ImageDisk, HasTheMergedTree) {
  const std::string bottom = add_layer();
  write(bottom + "/kept", "kept");
  write(bottom + "/gone", "gone");
  fs::create_directories(bottom + "/dir/old");
  ASSERT_EQ(link((bottom + "/kept").c_str(), (bottom + "/linked").c_str()), 0);
  ASSERT_EQ(mknod((bottom + "/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  const std::string top = add_layer();
  whiteout(top + "/gone");
  fs::create_directories(top + "/dir");
  ASSERT_EQ(setxattr((top + "/dir").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  write(top + "/dir/new", "new");

  const auto disk = image_disk(scratch.path(), lower);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_TRUE(disk->made);
  EXPECT_THAT(dump(disk->path, "/kept"), HasSubstr("Links: 2"));
  EXPECT_THAT(dump(disk->path, "/linked"), HasSubstr("Links: 2"));
  EXPECT_THAT(dump(disk->path, "/null"), HasSubstr("char dev"));
  EXPECT_THAT(dump(disk->path, "/dir/new"), HasSubstr("regular"));
  EXPECT_THAT(dump(disk->path, "/gone"), Not(HasSubstr("Links:")));
  EXPECT_THAT(dump(disk->path, "/dir/old"), Not(HasSubstr("Links:")));
}

TEST_F(ImageDisk, IsMadeOnce) {
  write(add_layer() + "/file", "content");
  const auto first = image_disk(scratch.path(), lower);
  ASSERT_TRUE(first) << first.error().message();
  const auto second = image_disk(scratch.path(), lower);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->made);
  EXPECT_EQ(second->path, first->path);
  EXPECT_EQ(files().size(), 3U);  // the disk, its record, its lock
}

TEST_F(ImageDisk, OfOneLayerHasNoWhiteouts) {
  const std::string only = add_layer();
  write(only + "/file", "content");
  whiteout(only + "/gone");
  fs::create_directories(only + "/dir/deep");
  whiteout(only + "/dir/deep/gone");
  write(only + "/dir/deep/file", "content");
  const auto disk = image_disk(scratch.path(), lower);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_THAT(dump(disk->path, "/dir/deep/file"), HasSubstr("regular"));
  EXPECT_THAT(dump(disk->path, "/gone"), Not(HasSubstr("Links:")));
  EXPECT_THAT(dump(disk->path, "/dir/deep/gone"), Not(HasSubstr("Links:")));
}

// An opaque directory hides what lies below, its own whiteouts too.
TEST_F(ImageDisk, OfAnOpaqueDirectoryHasNoWhiteouts) {
  fs::create_directories(add_layer() + "/dir");
  write(lower.front() + "/dir/below", "content");
  const std::string top = add_layer() + "/dir";
  fs::create_directories(top);
  write(top + "/file", "content");
  whiteout(top + "/gone");
  ASSERT_EQ(setxattr(top.c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(chmod(top.c_str(), 0751), 0);
  ASSERT_EQ(chown(top.c_str(), 12, 34), 0);
  const timespec old{.tv_sec = 1'000'000'000, .tv_nsec = 5};
  const std::array<timespec, 2> times{old, old};
  ASSERT_EQ(utimensat(AT_FDCWD, top.c_str(), times.data(), 0), 0);
  const auto disk = image_disk(scratch.path(), lower);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_THAT(dump(disk->path, "/dir/file"), HasSubstr("regular"));
  EXPECT_THAT(dump(disk->path, "/dir/gone"), Not(HasSubstr("Links:")));
  EXPECT_THAT(dump(disk->path, "/dir/below"), Not(HasSubstr("Links:")));
  const std::string directory = dump(disk->path, "/dir");
  EXPECT_THAT(directory, HasSubstr("Uid: 12   Gid: 34  Access: 0751/"));
  EXPECT_THAT(directory, HasSubstr("2001-09-09 01:46:40.000000005"));
}

TEST_F(ImageDisk, TakesAsManyLayersAsAnImageMayHave) {
  for (int i = 0; i < 128; ++i) write(add_layer() + fmt::format("/file-{}", i), "content");
  const auto disk = image_disk(scratch.path(), lower);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_THAT(dump(disk->path, "/file-0"), HasSubstr("regular"));
  EXPECT_THAT(dump(disk->path, "/file-127"), HasSubstr("regular"));
}

TEST_F(ImageDisk, IsMadeAnewWhenItWasChanged) {
  write(add_layer() + "/file", "content");
  const auto first = image_disk(scratch.path(), lower);
  ASSERT_TRUE(first);
  fs::permissions(first->path, fs::perms::owner_write, fs::perm_options::add);
  write(first->path, "evil");
  const auto second = image_disk(scratch.path(), lower);
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->made);
  EXPECT_THAT(dump(second->path, "/file"), HasSubstr("regular"));
}

// Until it is known to be on the disk, it is good for one boot of the host only.
TEST_F(ImageDisk, IsMadeAnewAfterTheHostWentDown) {
  write(add_layer() + "/file", "content");
  const auto first = image_disk(scratch.path(), lower);
  ASSERT_TRUE(first);
  const std::string record = first->path.substr(0, first->path.rfind('.')) + ".json";
  std::string text = *read_file(record);
  text.replace(text.find("boot_id\":\"") + 10, 4, "0000");
  write(record, text);
  EXPECT_TRUE(image_disk(scratch.path(), lower)->made);
}

TEST_F(ImageDisk, IsMadeByOneOfManyAtOnce) {
  write(add_layer() + "/file", "content");
  std::atomic<int> made = 0;
  std::atomic<int> failed = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto disk = image_disk(scratch.path(), lower);
      (disk ? made : failed) += disk ? int{disk->made} : 1;
    });
  }
  threads.clear();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(made, 1);
}

TEST_F(ImageDisk, GoesWithItsLayers) {
  write(add_layer() + "/file", "content");
  ASSERT_TRUE(image_disk(scratch.path(), lower));
  const std::string first = lower.front();
  EXPECT_EQ(*prune_image_disks(scratch.path()), 0U);
  EXPECT_EQ(files().size(), 3U);
  fs::remove_all(fs::path(first).parent_path());
  EXPECT_GT(*prune_image_disks(scratch.path()), 0U);
  EXPECT_TRUE(files().empty());
}

TEST_F(ImageDisk, LeavesNothingOfACrash) {
  write(add_layer() + "/file", "content");
  const std::string key = *image_disk_key(lower);
  fs::create_directories(scratch / ("vm/images/" + key + ".part-dead/root"));
  write(scratch / ("vm/images/" + key + ".part-dead/disk"), "half");
  fs::permissions(scratch / "vm/images", fs::perms::owner_all);
  ASSERT_TRUE(image_disk(scratch.path(), lower));
  EXPECT_EQ(files().size(), 3U);
}

TEST_F(ImageDisk, MakesRoomForNewerOnes) {
  for (int i = 0; i < 3; ++i) {
    write(add_layer() + "/file", std::string(1 << 20, static_cast<char>('a' + i)));
    ASSERT_TRUE(image_disk(scratch.path(), lower, {.bytes = 3U << 20U}));
  }
  EXPECT_EQ(std::ranges::count_if(files(), [](const auto& n) { return n.ends_with(".erofs"); }), 2);
}

TEST_F(ImageDisk, IsNotInTheHostsMountTable) {
  write(add_layer() + "/file", "content");
  const std::string before = *read_file("/proc/self/mountinfo");
  ASSERT_TRUE(image_disk(scratch.path(), lower));
  EXPECT_EQ(*read_file("/proc/self/mountinfo"), before);
}

TEST_F(ImageDisk, SaysThatTheDiskIsFull) {
  write(add_layer() + "/file", std::string(4 << 20, 'x'));
  fs::create_directories(scratch / "vm");
  const auto mounted =
      run_program({"mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", scratch / "vm"});
  if (!mounted || !mounted->ok()) GTEST_SKIP() << "needs to mount a tmpfs";
  const auto disk = image_disk(scratch.path(), lower);
  const auto left = files();
  (void)run_program({"umount", "-l", scratch / "vm"});
  ASSERT_FALSE(disk);
  EXPECT_THAT(disk.error().hint_text(), HasSubstr("is full")) << disk.error().message();
  EXPECT_EQ(left.size(), 1U);  // the lock
}

TEST(ImageDiskKey, IsMadeOfTheLayers) {
  const std::string a = "/d/layers/" + std::string(64, 'a') + "/diff";
  const std::string b = "/d/layers/" + std::string(64, 'b') + "/diff";
  EXPECT_EQ(*image_disk_key({a, b}), *image_disk_key({a, b}));
  EXPECT_NE(*image_disk_key({a, b}), *image_disk_key({b, a}));
  EXPECT_EQ(image_disk_key({"/some/directory"}).error().code(), ErrorCode::kUnsupported);
}

class ScratchDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    if (find_host_tool("mke2fs").empty()) GTEST_SKIP() << "needs mke2fs";
  }
  Scratch scratch;
};

TEST_F(ScratchDisk, IsAnEmptyFileSystem) {
  const auto disk = make_scratch_disk(scratch / "vm", kDefaultScratchBytes, scratch / "disk");
  ASSERT_TRUE(disk) << disk.error().message();
  struct stat status{};
  ASSERT_EQ(fstat(disk->get(), &status), 0);
  EXPECT_EQ(static_cast<uint64_t>(status.st_size), kDefaultScratchBytes);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  const auto checked = run_program({find_host_tool("e2fsck"), "-fn", scratch / "disk"});
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->exit_code, 0) << checked->stdout_text << checked->stderr_text;
  EXPECT_EQ(
      make_scratch_disk(scratch / "vm", kDefaultScratchBytes, scratch / "disk").error().code(),
      ErrorCode::kAlreadyExists);
}

TEST_F(ScratchDisk, HasEverySizeThatIsAllowed) {
  for (const uint64_t bytes : {kMinScratchBytes, uint64_t{100} << 20U, uint64_t{1} << 40U}) {
    EXPECT_TRUE(make_scratch_disk(scratch / "vm", bytes, scratch / std::to_string(bytes))) << bytes;
  }
  EXPECT_EQ(make_scratch_disk(scratch / "vm", 1, scratch / "x").error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(exists(scratch / "x"));
}

}  // namespace
}  // namespace trivet::payload::microvm
