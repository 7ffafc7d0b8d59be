#include "copy/tree.h"

#include <array>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>

#include "base/fs.h"

namespace trivet::copy {

namespace {

constexpr int kMaxDepth = 1000;

struct Place {
  int directory;
  const std::string& name;
};

Result<> copy_at(Place source, Place target, const CopyOptions& options, int depth);

// O_NONBLOCK: an entry that turned into a fifo meanwhile must not block us.
Result<UniqueFd> open_entry(Place place, int flags) {
  return open_at(place.directory, place.name, flags | O_NOFOLLOW | O_NONBLOCK);
}

Result<> copy_bytes(int source, int target, const std::string& name) {
  for (;;) {
    const ssize_t copied = copy_file_range(source, nullptr, target, nullptr, 1U << 30U, 0);
    if (copied == 0) break;
    if (copied > 0) continue;
    if (errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
      return fail_errno("copy \"{}\"", name);
    }
    break;
  }
  // Other file systems, and those whose files have no size (proc): through the page cache.
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t count = read(source, buffer.data(), buffer.size());
    if (count == 0) return {};
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read \"{}\"", name);
    TRY(write_all(target, {buffer.data(), static_cast<size_t>(count)}, name));
  }
}

Result<> copy_xattrs(int source, int target) {
  std::array<char, 65536> names{};
  const ssize_t length = flistxattr(source, names.data(), names.size());
  if (length <= 0) return {};  // none, or a file system without them
  std::array<char, 65536> value{};
  for (const char* name = names.data(); name < names.data() + length;
       name += std::string_view(name).size() + 1) {
    // Overlay's own marks describe the source's layers, not the file.
    if (std::string_view(name).starts_with("trusted.overlay.")) continue;
    const ssize_t size = fgetxattr(source, name, value.data(), value.size());
    if (size < 0) continue;
    if (fsetxattr(target, name, value.data(), static_cast<size_t>(size), 0) != 0 &&
        errno != EOPNOTSUPP && errno != EPERM) {
      return fail_errno("setxattr {}", name);
    }
  }
  return {};
}

// What is in the way of something that is no directory goes away, unless it is a directory.
Result<> clear_way(Place target) {
  if (unlinkat(target.directory, target.name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno == EISDIR || errno == EPERM) {
    return fail(ErrorCode::kAlreadyExists, "\"{}\" is a directory, and a file would replace it",
                target.name);
  }
  return fail_errno("unlink \"{}\"", target.name);
}

// The file to write to. A mount point, such as a container's /etc/hosts, can't be replaced: it is
// overwritten.
Result<UniqueFd> make_target(Place target) {
  const auto cleared = clear_way(target);
  if (cleared) {
    return open_at(target.directory, target.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  }
  if (cleared.error().errnum() != EBUSY) return std::unexpected(cleared.error());
  return open_entry(target, O_WRONLY | O_TRUNC);
}

Result<> copy_file(Place source, Place target, const CopyOptions& options) {
  const UniqueFd from = TRY(open_entry(source, O_RDONLY));
  const UniqueFd to = TRY(make_target(target));
  TRY(copy_bytes(from.get(), to.get(), source.name));
  return copy_attributes(from.get(), to.get(), options);
}

Result<> copy_symlink(Place source, Place target, const struct stat& status,
                      const CopyOptions& options) {
  std::array<char, PATH_MAX> text{};
  const ssize_t length =
      readlinkat(source.directory, source.name.c_str(), text.data(), text.size() - 1);
  if (length < 0) return fail_errno("readlink \"{}\"", source.name);
  TRY(clear_way(target));
  if (symlinkat(text.data(), target.directory, target.name.c_str()) != 0) {
    return fail_errno("symlink \"{}\"", target.name);
  }
  const auto [uid, gid] = options.owner.value_or(std::pair(status.st_uid, status.st_gid));
  if (fchownat(target.directory, target.name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("chown \"{}\"", target.name);
  }
  return {};
}

Result<> copy_node(Place target, const struct stat& status, const CopyOptions& options) {
  TRY(clear_way(target));
  if (mknodat(target.directory, target.name.c_str(), status.st_mode, status.st_rdev) != 0) {
    return fail_errno("mknod \"{}\"", target.name);
  }
  const auto [uid, gid] = options.owner.value_or(std::pair(status.st_uid, status.st_gid));
  if (fchownat(target.directory, target.name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("chown \"{}\"", target.name);
  }
  return {};
}

Result<> copy_entries(int source, int target, const CopyOptions& options, int depth) {
  for (const std::string& name : TRY(list_dir(source, "."))) {
    TRY_IN(copy_at({source, name}, {target, name}, options, depth), "\"{}\"", name);
  }
  return {};
}

Result<> copy_directory(Place source, Place target, const CopyOptions& options, int depth) {
  const UniqueFd from = TRY(open_entry(source, O_RDONLY | O_DIRECTORY));
  if (mkdirat(target.directory, target.name.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno("mkdir \"{}\"", target.name);
  }
  auto to = open_entry(target, O_RDONLY | O_DIRECTORY);
  if (!to && to.error().errnum() == ENOTDIR) {
    return fail(ErrorCode::kAlreadyExists, "\"{}\" is a file, and a directory would replace it",
                target.name);
  }
  if (!to) return std::unexpected(to.error());
  TRY(copy_entries(from.get(), to->get(), options, depth + 1));
  return copy_attributes(from.get(), to->get(), options);
}

Result<> copy_at(Place source, Place target, const CopyOptions& options, int depth) {
  if (depth > kMaxDepth) {
    return fail(ErrorCode::kLimitExceeded, "directories are nested over {} deep", kMaxDepth);
  }
  struct stat status{};
  if (fstatat(source.directory, source.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("stat \"{}\"", source.name);
  }
  switch (status.st_mode & S_IFMT) {
    case S_IFDIR:
      return copy_directory(source, target, options, depth);
    case S_IFREG:
      return copy_file(source, target, options);
    case S_IFLNK:
      return copy_symlink(source, target, status, options);
    case S_IFSOCK:
      return {};
    default:
      return copy_node(target, status, options);
  }
}

}  // namespace

Result<> copy_attributes(int source, int target, const CopyOptions& options) {
  struct stat status{};
  if (fstat(source, &status) != 0) return fail_errno("stat");
  const auto [uid, gid] = options.owner.value_or(std::pair(status.st_uid, status.st_gid));
  if (fchown(target, uid, gid) != 0) return fail_errno("chown");
  if (options.xattrs) TRY(copy_xattrs(source, target));
  if (fchmod(target, status.st_mode & 07777U) != 0) return fail_errno("chmod");
  const std::array<timespec, 2> times = {status.st_atim, status.st_mtim};
  if (futimens(target, times.data()) != 0) return fail_errno("utimensat");
  return {};
}

Result<> copy_entry(int source_directory, const std::string& source_name, int target_directory,
                    const std::string& target_name, const CopyOptions& options) {
  return copy_at({source_directory, source_name}, {target_directory, target_name}, options, 0);
}

Result<> copy_contents(int source_directory, int target_directory, const CopyOptions& options) {
  TRY(copy_entries(source_directory, target_directory, options, 0));
  return copy_attributes(source_directory, target_directory, options);
}

}  // namespace trivet::copy
