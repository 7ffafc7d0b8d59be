#include "base/fs.h"

#include <algorithm>
#include <array>
#include <dirent.h>
#include <memory>
#include <set>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

namespace trivet {

namespace {

// RESOLVE_IN_ROOT reports EAGAIN when a rename elsewhere raced with it (openat2(2)).
constexpr int kRaceRetries = 128;

int openat2_in_root(int root_fd, const char* path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  int fd = -1;
  for (int attempt = 0; attempt < kRaceRetries; ++attempt) {
    fd = static_cast<int>(syscall(SYS_openat2, root_fd, path, &how, sizeof how));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  }
  return parts;
}

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};
using UniqueDir = std::unique_ptr<DIR, CloseDir>;

Result<UniqueDir> open_dir(int dir_fd, const std::string& path) {
  UniqueFd fd = TRY(open_at(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  UniqueDir dir(fdopendir(fd.get()));
  if (!dir) return fail_errno("read directory \"{}\"", path);
  (void)fd.release();
  return dir;
}

// The entries of an open directory without "." and "..".
std::vector<std::string> entries_of(DIR* dir) {
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

std::string random_suffix() {
  std::array<unsigned char, 8> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return "0";
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

Result<> add_disk_usage(int dir_fd, const std::string& path,
                        std::set<std::pair<dev_t, ino_t>>& seen, uint64_t& total) {
  const UniqueDir dir = TRY(open_dir(dir_fd, path));
  for (const std::string& name : entries_of(dir.get())) {
    struct stat status{};
    if (fstatat(dirfd(dir.get()), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (status.st_nlink > 1 && !S_ISDIR(status.st_mode) &&
        !seen.emplace(status.st_dev, status.st_ino).second) {
      continue;
    }
    if (S_ISREG(status.st_mode)) total += static_cast<uint64_t>(status.st_blocks) * 512U;
    if (S_ISDIR(status.st_mode)) TRY(add_disk_usage(dirfd(dir.get()), name, seen, total));
  }
  return {};
}

}  // namespace

Result<UniqueFd> open_at(int dir_fd, const std::string& path, int flags, mode_t mode) {
  int fd = -1;
  do {
    fd = ::openat(dir_fd, path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return fail_errno("open \"{}\"", path);
  return UniqueFd(fd);
}

Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags, mode_t mode) {
  const int fd = openat2_in_root(root_fd, path.c_str(), flags, mode);
  if (fd < 0) return fail_errno("open \"{}\" inside the root", path);
  return UniqueFd(fd);
}

Result<UniqueFd> make_dirs_in_root(int root_fd, const std::string& path, mode_t mode) {
  if (const int fd = openat2_in_root(root_fd, path.c_str(), O_PATH | O_DIRECTORY, 0); fd >= 0) {
    return UniqueFd(fd);
  }
  if (errno != ENOENT) return fail_errno("open \"{}\" inside the root", path);
  std::string done = "/";
  UniqueFd current = TRY(open_in_root(root_fd, done, O_PATH | O_DIRECTORY));
  for (const std::string& part : split_path(path)) {
    if (part == "..") {
      return fail(ErrorCode::kInvalidArgument,
                  "path \"{}\" contains \"..\" below a directory that does not exist", path);
    }
    const std::string next = done + "/" + part;
    int fd = openat2_in_root(root_fd, next.c_str(), O_PATH | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT) {
      if (mkdirat(current.get(), part.c_str(), mode) != 0 && errno != EEXIST) {
        return fail_errno("mkdir \"{}\" inside the root", next);
      }
      fd = openat2_in_root(root_fd, next.c_str(), O_PATH | O_DIRECTORY, 0);
    }
    if (fd < 0) return fail_errno("open \"{}\" inside the root", next);
    current.reset(fd);
    done = next;
  }
  return current;
}

Result<> make_dirs(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT) return fail_errno("mkdir \"{}\"", path);
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos || slash == 0) return fail_errno("mkdir \"{}\"", path);
  TRY(make_dirs(path.substr(0, slash), mode));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return fail_errno("mkdir \"{}\"", path);
  return {};
}

Result<std::string> read_fd(int fd, std::string_view name, size_t limit) {
  std::string content;
  std::array<char, 16384> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read \"{}\"", name);
    if (count == 0) return content;
    if (content.size() + static_cast<size_t>(count) > limit) {
      return fail(ErrorCode::kLimitExceeded, "read \"{}\": longer than {} bytes", name, limit);
    }
    content.append(buffer.data(), static_cast<size_t>(count));
  }
}

Result<std::string> read_file_at(int dir_fd, const std::string& path, size_t limit) {
  const UniqueFd fd = TRY(open_at(dir_fd, path, O_RDONLY));
  return read_fd(fd.get(), path, limit);
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  return read_file_at(AT_FDCWD, path, limit);
}

Result<> write_all(int fd, std::string_view content, std::string_view name) {
  while (!content.empty()) {
    const ssize_t count = ::write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("write \"{}\"", name);
    content.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

Result<> write_existing(int dir_fd, const std::string& path, std::string_view content) {
  const UniqueFd fd = TRY(open_at(dir_fd, path, O_WRONLY));
  const ssize_t count = ::write(fd.get(), content.data(), content.size());
  if (count < 0) return fail_errno("write \"{}\" to \"{}\"", content, path);
  if (static_cast<size_t>(count) != content.size()) {
    return fail(ErrorCode::kSystem, "write \"{}\" to \"{}\": only {} bytes taken", content, path,
                count);
  }
  return {};
}

Result<> replace_file(int dir_fd, const std::string& path, std::string_view content, mode_t mode,
                      Durability durability) {
  const std::string temporary = fmt::format("{}.tmp-{}", path, random_suffix());
  const auto write_temporary = [&]() -> Result<> {
    const UniqueFd fd = TRY(open_at(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
    TRY(write_all(fd.get(), content, path));
    if (durability == Durability::kDurable && fsync(fd.get()) != 0) {
      return fail_errno("fsync \"{}\"", path);
    }
    if (renameat(dir_fd, temporary.c_str(), dir_fd, path.c_str()) != 0) {
      return fail_errno("rename \"{}\" to \"{}\"", temporary, path);
    }
    return {};
  };
  auto written = write_temporary();
  if (!written) unlinkat(dir_fd, temporary.c_str(), 0);
  return written;
}

Result<> remove_tree(int dir_fd, const std::string& path) {
  if (unlinkat(dir_fd, path.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno("remove \"{}\"", path);
  {
    auto dir = open_dir(dir_fd, path);
    if (!dir) {
      if (dir.error().errnum() == ENOENT) return {};
      return std::unexpected(std::move(dir).error());
    }
    for (const std::string& name : entries_of(dir->get())) {
      TRY_IN(remove_tree(dirfd(dir->get()), name), "in \"{}\"", path);
    }
  }
  if (unlinkat(dir_fd, path.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return fail_errno("remove directory \"{}\"", path);
  }
  return {};
}

Result<std::vector<std::string>> list_dir(int dir_fd, const std::string& path) {
  const UniqueDir dir = TRY(open_dir(dir_fd, path));
  std::vector<std::string> names = entries_of(dir.get());
  std::ranges::sort(names);
  return names;
}

Result<uint64_t> disk_usage(int dir_fd, const std::string& path) {
  std::set<std::pair<dev_t, ino_t>> seen;
  uint64_t total = 0;
  TRY(add_disk_usage(dir_fd, path, seen, total));
  return total;
}

bool exists_at(int dir_fd, const std::string& path) {
  return faccessat(dir_fd, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<FileLock> FileLock::acquire(int dir_fd, const std::string& path) {
  UniqueFd fd = TRY(open_at(dir_fd, path, O_RDWR | O_CREAT, 0600));
  while (flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return fail_errno("lock \"{}\"", path);
  }
  return FileLock(std::move(fd));
}

Result<FileLock> FileLock::acquire_shared(int dir_fd, const std::string& path) {
  UniqueFd fd = TRY(open_at(dir_fd, path, O_RDWR | O_CREAT, 0600));
  while (flock(fd.get(), LOCK_SH) != 0) {
    if (errno != EINTR) return fail_errno("lock \"{}\"", path);
  }
  return FileLock(std::move(fd));
}

Result<std::optional<FileLock>> FileLock::try_acquire(int dir_fd, const std::string& path) {
  UniqueFd fd = TRY(open_at(dir_fd, path, O_RDWR | O_CREAT, 0600));
  while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    if (errno != EINTR) return fail_errno("lock \"{}\"", path);
  }
  return FileLock(std::move(fd));
}

}  // namespace trivet
