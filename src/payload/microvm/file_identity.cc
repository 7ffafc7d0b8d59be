#include "payload/microvm/file_identity.h"

#include <fcntl.h>
#include <unistd.h>

namespace trivet::payload::microvm {

namespace {

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileIdentity identity_of(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = static_cast<uint64_t>(status.st_size),
          .mtime = nanoseconds(status.st_mtim),
          .ctime = nanoseconds(status.st_ctim)};
}

Result<FileIdentity> identify_file(int dir_fd, const std::string& path) {
  struct stat status{};
  if (fstatat(dir_fd, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    const int errnum = errno;
    Error error = Error::from_errno(errnum, fmt::format("stat \"{}\"", path));
    if (errnum == ENOENT) error = std::move(error).with_code(ErrorCode::kNotFound);
    return std::unexpected(std::move(error));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is not a regular file", path);
  }
  return identity_of(status);
}

Json print_identity(const FileIdentity& identity) {
  return {{"device", identity.device},
          {"inode", identity.inode},
          {"size", identity.size},
          {"mtime", identity.mtime},
          {"ctime", identity.ctime}};
}

Result<FileIdentity> parse_identity(const JsonView& view) {
  FileIdentity identity;
  TRY(view.read("device", identity.device));
  TRY(view.read("inode", identity.inode));
  TRY(view.read("size", identity.size));
  TRY(view.read("mtime", identity.mtime));
  TRY(view.read("ctime", identity.ctime));
  return identity;
}

std::string identity_text(const FileIdentity& identity) {
  return fmt::format("{:x}-{:x}-{:x}-{:x}-{:x}", identity.device, identity.inode, identity.size,
                     identity.mtime, identity.ctime);
}

Result<> require_own_directory(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
  if (status.st_uid == geteuid() && (status.st_mode & 022U) == 0) return {};
  return std::unexpected(
      Error(ErrorCode::kPermissionDenied,
            fmt::format("\"{}\" has another owner or can be written by others", path))
          .hint("what microVMs are made of must be writable by their user alone"));
}

}  // namespace trivet::payload::microvm
