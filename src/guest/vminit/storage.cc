#include "guest/vminit/storage.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fcntl.h>
#include <ranges>
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

Result<> make_own(const std::string& path, const Volume& volume) {
  TRY(make_dirs(path));
  if (::chown(path.c_str(), volume.uid, volume.gid) != 0) return fail_errno("chown \"{}\"", path);
  if (::chmod(path.c_str(), volume.mode) != 0) return fail_errno("chmod \"{}\"", path);
  return {};
}

// Of a machine with one container these are its own directories; the disks of images are shared by
// the containers of a pod.
std::string lower_directory(const CreateRequest& request, uint8_t container) {
  if (container == 0) return kLowerDirectory;
  return fmt::format("{}-{}", kLowerDirectory, request.lower_device);
}

std::string writable_directory(uint8_t container) {
  if (container == 0) return kScratchDirectory;
  return fmt::format("{}/{}", kScratchDirectory, container);
}

}  // namespace

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

bool Storage::is_mounted(const std::string& target) const {
  return std::ranges::find(mounted_, target) != mounted_.end();
}

Result<> Storage::mount(const std::string& source, const std::string& target, const char* type,
                        unsigned long flags, const std::string& data) {
  TRY(make_dirs(target));
  if (::mount(source.c_str(), target.c_str(), type, flags, data.empty() ? nullptr : data.c_str()) !=
      0) {
    return fail_errno("mount {} of \"{}\" on \"{}\"", type == nullptr ? "bind" : type, source,
                      target);
  }
  mounted_.push_back(target);
  return {};
}

Result<> Storage::mount_disk(const std::string& device, const std::string& target,
                             unsigned long flags) {
  if (is_mounted(target)) return {};
  const std::string path = "/dev/" + device;
  return mount(path, target, TRY(detect_file_system(path)), flags);
}

Result<> Storage::mount_share() {
  if (is_mounted(kShareDirectory)) return {};
  return mount(kShareTag, kShareDirectory, "virtiofs", 0);
}

// Those that are not in memory are on the disk, if there is one.
Result<> Storage::make_volumes(const std::vector<Volume>& volumes) {
  if (volumes.empty() || is_mounted(kVolumesDirectory)) return {};
  const std::string place = fmt::format("{}/volumes", kScratchDirectory);
  TRY(make_dirs(place));
  TRY(mount(place, kVolumesDirectory, nullptr, MS_BIND));
  for (const Volume& volume : volumes) TRY_IN(make_volume(volume), "volume \"{}\"", volume.name);
  return {};
}

Result<> Storage::make_volume(const Volume& volume) {
  const std::string path = fmt::format("{}/{}", kVolumesDirectory, volume.name);
  TRY(make_dirs(path));
  if (volume.in_memory) {
    const std::string size = volume.size == 0 ? "" : fmt::format("size={}", volume.size);
    TRY(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, size));
  }
  TRY(make_own(path, volume));
  for (const std::string& name : volume.directories) {
    TRY(make_own(fmt::format("{}/{}", path, name), volume));
  }
  return {};
}

Result<container::OverlayRoot> Storage::prepare_overlay(const CreateRequest& request,
                                                        uint8_t container) {
  std::string lower = lower_directory(request, container);
  if (!request.lower_device.empty()) {
    TRY(mount_disk(request.lower_device, lower, MS_RDONLY));
  } else {
    lower = fmt::format("{}/{}", kShareDirectory, request.lower_share);
  }
  const std::string writable = writable_directory(container);
  TRY(make_upper(writable + "/upper", lower));
  TRY(make_dirs(writable + "/work", 0700));
  return container::OverlayRoot{.lower_directories = {lower},
                                .upper_directory = writable + "/upper",
                                .work_directory = writable + "/work"};
}

Result<std::optional<container::OverlayRoot>> Storage::prepare(const CreateRequest& request,
                                                               uint8_t container) {
  TRY(write_files(request));
  if (request.share) TRY(mount_share());
  // Without a disk of its own what is written stays in the guest's memory.
  if (!request.scratch_device.empty()) {
    TRY(mount_disk(request.scratch_device, kScratchDirectory, 0));
  }
  TRY(make_volumes(request.volumes));
  if (request.infra) TRY(make_dirs(kInfraRoot));
  if (request.lower_device.empty() && request.lower_share.empty()) return std::nullopt;
  return TRY(prepare_overlay(request, container));
}

// What is still held (by a process that does not die, say) is at least written.
void Storage::release() {
  ::sync();
  for (const std::string& target : std::views::reverse(mounted_)) {
    if (::umount2(target.c_str(), 0) != 0 && errno == EBUSY) {
      (void)::umount2(target.c_str(), MNT_DETACH);
    }
  }
  mounted_.clear();
}

}  // namespace trivet::guest
