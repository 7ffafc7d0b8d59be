// Filling a tmpfs with what it covers ("tmpcopyup"). Both trees are reached by descriptors alone;
// symlinks are copied, never followed.

#include "container/stage/stage.h"
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

namespace trivet::stage {

namespace {

constexpr int kMaxDepth = 128;
constexpr int kNoFollow = 0x100;    // AT_SYMLINK_NOFOLLOW
constexpr int kEmptyPath = 0x1000;  // AT_EMPTY_PATH
constexpr unsigned kTypeMask = 0170000;
constexpr size_t kChunk = 1U << 20U;

// linux_dirent64 of getdents64(2); no header of the UAPI has it.
struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[1];
};

bool is_self_or_parent(const char* name) {
  return equal(name, ".") || equal(name, "..");
}

long set_owner_and_mode(long fd, const struct statx& status) {
  const long owned =
      sys(__NR_fchownat, fd, "", status.stx_uid, status.stx_gid, kEmptyPath | kNoFollow);
  return owned < 0 ? owned : sys(__NR_fchmod, fd, status.stx_mode & 07777U);
}

long copy_bytes(long from, long to) {
  for (;;) {
    const long sent = sys(__NR_sendfile, to, from, nullptr, kChunk);
    if (sent <= 0 && sent != -EINTR) return sent;
  }
}

long copy_file(long from, const char* name, long to, const struct statx& status) {
  const long source = sys(__NR_openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (source < 0) return source;
  const long target =
      sys(__NR_openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  long result = target;
  if (result >= 0) result = copy_bytes(source, target);
  if (result >= 0) result = set_owner_and_mode(target, status);
  if (target >= 0) sys(__NR_close, target);
  sys(__NR_close, source);
  return result;
}

long copy_symlink(long from, const char* name, long to, const struct statx& status) {
  char target[4096];
  const long size = sys(__NR_readlinkat, from, name, target, sizeof target - 1);
  if (size < 0) return size;
  target[size] = '\0';
  const long made = sys(__NR_symlinkat, target, to, name);
  if (made < 0) return made;
  return sys(__NR_fchownat, to, name, status.stx_uid, status.stx_gid, kNoFollow);
}

// FIFOs, sockets and devices.
long copy_node(const char* name, long to, const struct statx& status) {
  // The kernel's encoding of a device number (new_encode_dev).
  const uint64_t device = (status.stx_rdev_minor & 0xffU) |
                          ((status.stx_rdev_major & 0xfffU) << 8U) |
                          ((status.stx_rdev_minor & ~0xffU) << 12U);
  const long made = sys(__NR_mknodat, to, name, status.stx_mode, device);
  if (made < 0) return made;
  return sys(__NR_fchownat, to, name, status.stx_uid, status.stx_gid, kNoFollow);
}

long copy_directory(long from, long to, int depth);

long copy_subdirectory(long from, const char* name, long to, const struct statx& status,
                       int depth) {
  const long made = sys(__NR_mkdirat, to, name, 0700);
  if (made < 0) return made;
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const long source = sys(__NR_openat, from, name, kFlags);
  if (source < 0) return source;
  const long target = sys(__NR_openat, to, name, kFlags);
  long result = target;
  if (result >= 0) result = copy_directory(source, target, depth + 1);
  if (result >= 0) result = set_owner_and_mode(target, status);
  if (target >= 0) sys(__NR_close, target);
  sys(__NR_close, source);
  return result;
}

long copy_entry(long from, const char* name, long to, int depth) {
  struct statx status;
  const long result = sys(__NR_statx, from, name, kNoFollow, STATX_BASIC_STATS, &status);
  if (result < 0) return result;
  switch (status.stx_mode & kTypeMask) {
    case 0040000:
      return copy_subdirectory(from, name, to, status, depth);
    case 0100000:
      return copy_file(from, name, to, status);
    case 0120000:
      return copy_symlink(from, name, to, status);
    default:
      return copy_node(name, to, status);
  }
}

long copy_directory(long from, long to, int depth) {
  if (depth > kMaxDepth) return -ELOOP;
  alignas(8) char buffer[2048];
  for (;;) {
    const long count = sys(__NR_getdents64, from, buffer, sizeof buffer);
    if (count <= 0) return count;
    for (long at = 0; at < count;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->size;
      if (is_self_or_parent(entry->name)) continue;
      const long result = copy_entry(from, entry->name, to, depth);
      if (result < 0) return result;
    }
  }
}

}  // namespace

long copy_tree(long from, long to) {
  const long old_mask = sys(__NR_umask, 0);
  const long result = copy_directory(from, to, 0);
  sys(__NR_umask, old_mask);
  return result;
}

}  // namespace trivet::stage
