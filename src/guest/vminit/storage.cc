#include "guest/vminit/storage.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "guest/protocol.h"

namespace trivet::guest {

namespace {

// Where a superblock begins, and what it begins with.
constexpr off_t kSuperblock = 1024;
constexpr uint32_t kErofsMagic = 0xE0F5E1E2;
constexpr off_t kExt4MagicOffset = 56;
constexpr uint16_t kExt4Magic = 0xEF53;

// A driver that has just been loaded may not have announced its disks yet.
Result<UniqueFd> open_disk(const std::string& path) {
  constexpr int kAttempts = 500;
  constexpr useconds_t kPause = 2000;
  for (int attempt = 0;; ++attempt) {
    auto disk = open_file(path, O_RDONLY);
    if (disk || disk.error().errnum() != ENOENT || attempt == kAttempts) return disk;
    ::usleep(kPause);
  }
}

Result<const char*> detect_file_system(const std::string& device) {
  const UniqueFd disk = TRY(open_disk(device));
  std::array<char, 64> block{};
  if (::pread(disk.get(), block.data(), block.size(), kSuperblock) !=
      static_cast<ssize_t>(block.size())) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is too small for a file system", device);
  }
  uint32_t erofs = 0;
  uint16_t ext4 = 0;
  std::memcpy(&erofs, block.data(), sizeof erofs);
  std::memcpy(&ext4, block.data() + kExt4MagicOffset, sizeof ext4);
  if (erofs == kErofsMagic) return "erofs";
  if (ext4 == kExt4Magic) return "ext4";
  return fail(ErrorCode::kCorrupt, "\"{}\" holds neither EROFS nor ext4", device);
}

Result<> mount_disk(const std::string& device, const char* target, unsigned long flags) {
  const std::string path = "/dev/" + device;
  const char* type = TRY(detect_file_system(path));
  TRY(make_dirs(target));
  if (::mount(path.c_str(), target, type, flags, nullptr) == 0) return {};
  return fail_errno("mount {} of \"{}\" on \"{}\"", type, path, target);
}

Result<> mount_share() {
  TRY(make_dirs(kShareDirectory));
  if (::mount(kShareTag, kShareDirectory, "virtiofs", 0, nullptr) == 0) {
    return {};
  }
  return fail_errno("mount the share \"{}\"", kShareTag);
}

Result<> write_files(const CreateRequest& request) {
  if (request.files.empty()) return {};
  TRY(make_dirs(kFilesDirectory));
  const UniqueFd directory = TRY(open_file(kFilesDirectory, O_RDONLY | O_DIRECTORY));
  for (const InlineFile& file : request.files) {
    const UniqueFd made =
        TRY(open_at(directory.get(), file.name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
    TRY(write_all(made.get(), file.content, file.name));
    if (::fchmod(made.get(), file.mode) != 0) return fail_errno("chmod \"{}\"", file.name);
  }
  return {};
}

// The root directory of an overlay is the upper one's: it shall look as the image's.
Result<> make_upper(const std::string& upper, const std::string& lower) {
  if (exists(upper)) return {};
  struct stat status{};
  if (::stat(lower.c_str(), &status) != 0) return fail_errno("stat \"{}\"", lower);
  TRY(make_dirs(upper));
  if (::chown(upper.c_str(), status.st_uid, status.st_gid) != 0) {
    return fail_errno("chown \"{}\"", upper);
  }
  if (::chmod(upper.c_str(), status.st_mode & 07777U) != 0)
    return fail_errno("chmod \"{}\"", upper);
  return {};
}

Result<container::OverlayRoot> prepare_overlay(const CreateRequest& request) {
  std::string lower = kLowerDirectory;
  if (!request.lower_device.empty()) {
    TRY(mount_disk(request.lower_device, kLowerDirectory, MS_RDONLY));
  } else {
    lower = fmt::format("{}/{}", kShareDirectory, request.lower_share);
  }
  // Without a disk of its own what is written stays in the guest's memory.
  if (!request.scratch_device.empty()) {
    TRY(mount_disk(request.scratch_device, kScratchDirectory, 0));
  }
  const std::string scratch = kScratchDirectory;
  TRY(make_upper(scratch + "/upper", lower));
  TRY(make_dirs(scratch + "/work", 0700));
  return container::OverlayRoot{.lower_directories = {lower},
                                .upper_directory = scratch + "/upper",
                                .work_directory = scratch + "/work"};
}

}  // namespace

Result<std::optional<container::OverlayRoot>> prepare_storage(const CreateRequest& request) {
  TRY(write_files(request));
  if (request.share) TRY(mount_share());
  if (request.lower_device.empty() && request.lower_share.empty()) return std::nullopt;
  return TRY(prepare_overlay(request));
}

// What is still held (by a process that does not die, say) is at least written.
void release_storage() {
  ::sync();
  for (const char* target : {kScratchDirectory, kLowerDirectory, kShareDirectory}) {
    if (::umount2(target, 0) != 0 && errno == EBUSY) (void)::umount2(target, MNT_DETACH);
  }
}

}  // namespace trivet::guest
