#include "base/file_identity.h"

#include <chrono>
#include <cstdint>
#include <sys/vfs.h>

#include <fmt/format.h>

#include <linux/magic.h>

namespace trivet {

namespace {

using Clock = std::chrono::system_clock;

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

dev_t lasting_device(int fd, const struct stat& status) {
  struct statfs file_system{};
  const bool is_overlay =
      fstatfs(fd, &file_system) == 0 && file_system.f_type == OVERLAYFS_SUPER_MAGIC;
  return is_overlay ? 0 : status.st_dev;
}

}  // namespace

std::string file_identity(int fd, const struct stat& status) {
  return fmt::format("{:x}-{:x}-{:x}-{:x}-{:x}", lasting_device(fd, status), status.st_ino,
                     status.st_size, nanoseconds(status.st_mtim), nanoseconds(status.st_ctim));
}

bool has_settled(const struct stat& status) {
  constexpr int64_t kGranularity = 2'000'000'000;
  const int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  return now - nanoseconds(status.st_ctim) > kGranularity;
}

}  // namespace trivet
