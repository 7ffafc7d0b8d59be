// Files and directories through file descriptors.
//
// Every function attaches the call and its operands to the error. All descriptors are opened
// O_CLOEXEC. `AT_FDCWD` is accepted wherever a directory descriptor is taken. Thread safety: all
// functions may be called from several threads.
#pragma once

#include <cstdint>
#include <fcntl.h>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// openat(2). `mode` matters with O_CREAT only.
Result<UniqueFd> open_at(int dir_fd, const std::string& path, int flags, mode_t mode = 0600);
inline Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode = 0600) {
  return open_at(AT_FDCWD, path, flags, mode);
}

// openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS: `path` is resolved as if `root_fd`
// were the root directory, so neither symlinks nor ".." leave it. The only way into a directory
// whose contents are not ours.
Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags, mode_t mode = 0600);

// Makes every missing directory of `path` inside `root_fd`, symlinks resolved within the root, and
// returns an O_PATH descriptor of the last one. Races with a hostile writer end in an error, never
// outside the root.
Result<UniqueFd> make_dirs_in_root(int root_fd, const std::string& path, mode_t mode = 0755);

// Makes `path` and its missing parents. An existing directory is fine. For trusted paths only.
Result<> make_dirs(const std::string& path, mode_t mode = 0755);

// Whole-file reads. Fails with kLimitExceeded when the content is longer than `limit` bytes.
inline constexpr size_t kReadLimit = 64U << 20U;
Result<std::string> read_file(const std::string& path, size_t limit = kReadLimit);
Result<std::string> read_file_at(int dir_fd, const std::string& path, size_t limit = kReadLimit);
Result<std::string> read_fd(int fd, std::string_view name, size_t limit = kReadLimit);

// Writes all of `content` to an open descriptor; `name` is for the error text.
Result<> write_all(int fd, std::string_view content, std::string_view name);

// Writes to an existing file in one write(2), as control files of the kernel want it.
Result<> write_existing(int dir_fd, const std::string& path, std::string_view content);

// Replaces `path` atomically: a temporary file in the same directory, then rename(2). Readers see
// the old content or the new. kDurable also calls fsync.
enum class Durability { kFast, kDurable };
Result<> replace_file(int dir_fd, const std::string& path, std::string_view content,
                      mode_t mode = 0644, Durability durability = Durability::kFast);

// Removes a tree without following symlinks or crossing onto other file systems through them.
// A tree that does not exist is fine.
Result<> remove_tree(int dir_fd, const std::string& path);

// Names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> list_dir(int dir_fd, const std::string& path);

// Sum of the space that the files below `path` occupy, in bytes (hard links counted once).
Result<uint64_t> disk_usage(int dir_fd, const std::string& path);

// False also when it can't be looked at.
[[nodiscard]] bool exists_at(int dir_fd, const std::string& path);
[[nodiscard]] inline bool exists(const std::string& path) {
  return exists_at(AT_FDCWD, path);
}

// An exclusive flock(2) on a file that is made when missing; released when the object goes.
class FileLock {
 public:
  // Blocks until the lock is free.
  static Result<FileLock> acquire(int dir_fd, const std::string& path);
  // Shared: any number of holders, but none while it is held exclusively. Blocks.
  static Result<FileLock> acquire_shared(int dir_fd, const std::string& path);
  // Exclusive without waiting: nothing when somebody else holds it.
  static Result<std::optional<FileLock>> try_acquire(int dir_fd, const std::string& path);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace trivet
