#include "linux/device_nodes.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"

namespace trivet {

namespace {

std::optional<oci::Device> device_of(const std::string& path, const struct stat& status) {
  if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode)) return std::nullopt;
  return oci::Device{.path = path,
                     .type = S_ISCHR(status.st_mode) ? 'c' : 'b',
                     .major = major(status.st_rdev),
                     .minor = minor(status.st_rdev),
                     .file_mode = status.st_mode & 07777U,
                     .uid = status.st_uid,
                     .gid = status.st_gid};
}

bool is_own_device(const std::string& path) {
  static constexpr std::array kOwn = {"/dev/pts",  "/dev/shm",    "/dev/mqueue", "/dev/console",
                                      "/dev/fd",   "/dev/ptmx",   "/dev/stdin",  "/dev/stdout",
                                      "/dev/null", "/dev/stderr", "/dev/zero",   "/dev/full",
                                      "/dev/tty",  "/dev/random", "/dev/urandom"};
  return std::ranges::find(kOwn, path) != kOwn.end();
}

Result<> collect_devices(const std::string& directory, std::vector<oci::Device>& found) {
  for (const std::string& name : TRY(list_dir(AT_FDCWD, directory))) {
    const std::string path = fmt::format("{}/{}", directory, name);
    struct stat status{};
    if (is_own_device(path) || lstat(path.c_str(), &status) != 0) continue;
    if (S_ISDIR(status.st_mode)) TRY(collect_devices(path, found));
    if (auto device = device_of(path, status)) found.push_back(std::move(*device));
  }
  return {};
}

}  // namespace

Result<std::vector<oci::Device>> find_devices(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
  std::vector<oci::Device> found;
  if (S_ISDIR(status.st_mode)) {
    TRY(collect_devices(path, found));
  } else if (auto device = device_of(path, status)) {
    found.push_back(std::move(*device));
  } else {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not a device", path);
  }
  return found;
}

Result<oci::Device> find_device(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
  if (S_ISFIFO(status.st_mode)) {
    return oci::Device{.path = path, .type = 'p', .file_mode = status.st_mode & 07777U};
  }
  if (auto device = device_of(path, status)) return *std::move(device);
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is not a device", path);
}

bool is_present(const oci::Device& device) {
  struct stat status{};
  if (stat(device.path.c_str(), &status) != 0) return false;
  const auto found = device_of(device.path, status);
  // 'u' is another name of 'c' (runtime-spec, config-linux.md: Devices).
  return found && found->type == (device.type == 'b' ? 'b' : 'c') && found->major == device.major &&
         found->minor == device.minor;
}

bool allows_all_devices(const oci::Linux& config) {
  if (!config.resources || config.resources->devices.empty()) return false;
  const oci::DeviceRule& last = config.resources->devices.back();
  return last.allow && last.type == 'a' && !last.major && !last.minor;
}

}  // namespace trivet
