// Tar streams of `cp -`, through libarchive's formats but our own file access: every step is
// relative to a directory descriptor.
#include <array>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <climits>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/copy.h"

namespace trivet::runtime {

namespace {

constexpr int kMaxDepth = 1000;

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_free(a); }
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using Archive = std::unique_ptr<archive, ArchiveDeleter>;
using Entry = std::unique_ptr<archive_entry, ArchiveDeleter>;

std::unexpected<Error> archive_failure(archive* a, std::string_view what) {
  const char* text = archive_error_string(a);
  return fail(ErrorCode::kSystem, "{}: {}", what, text != nullptr ? text : "unknown failure");
}

class TarWriter {
 public:
  explicit TarWriter(Archive archive) : archive_(std::move(archive)) {}

  Result<> add(int directory, const std::string& name, const std::string& path, int depth) {
    if (depth > kMaxDepth) {
      return fail(ErrorCode::kLimitExceeded, "directories are nested over {} deep", kMaxDepth);
    }
    struct stat status{};
    if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno("stat \"{}\"", path);
    }
    if (S_ISSOCK(status.st_mode)) return {};
    if (S_ISREG(status.st_mode)) return add_file(directory, name, path);
    TRY(add_header(directory, name, path, status));
    if (!S_ISDIR(status.st_mode)) return {};
    const UniqueFd inside = TRY(open_at(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    for (const std::string& child : TRY(list_dir(inside.get(), "."))) {
      TRY(add(inside.get(), child, path + "/" + child, depth + 1));
    }
    return {};
  }

  Result<> finish() {
    if (archive_write_close(archive_.get()) == ARCHIVE_OK) return {};
    return archive_failure(archive_.get(), "write tar");
  }

 private:
  Result<> add_header(int directory, const std::string& name, const std::string& path,
                      const struct stat& status) {
    const Entry entry(archive_entry_new());
    archive_entry_copy_stat(entry.get(), &status);
    archive_entry_set_pathname(entry.get(), path.c_str());
    if (S_ISLNK(status.st_mode)) {
      std::array<char, PATH_MAX> target{};
      if (readlinkat(directory, name.c_str(), target.data(), target.size() - 1) < 0) {
        return fail_errno("readlink \"{}\"", path);
      }
      archive_entry_set_symlink(entry.get(), target.data());
    }
    if (archive_write_header(archive_.get(), entry.get()) == ARCHIVE_OK) return {};
    return archive_failure(archive_.get(), "write tar");
  }

  // A file that changes its size meanwhile is cut off or filled up with zeros: the header is out.
  Result<> add_file(int directory, const std::string& name, const std::string& path) {
    const UniqueFd file = TRY(open_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    struct stat status{};
    if (fstat(file.get(), &status) != 0) return fail_errno("stat \"{}\"", path);
    TRY(add_header(directory, name, path, status));
    std::array<char, 65536> buffer{};
    for (;;) {
      const ssize_t count = read(file.get(), buffer.data(), buffer.size());
      if (count == 0) return {};
      if (count < 0) return fail_errno("read \"{}\"", path);
      if (archive_write_data(archive_.get(), buffer.data(), static_cast<size_t>(count)) < 0) {
        return archive_failure(archive_.get(), "write tar");
      }
    }
  }

  Archive archive_;
};

struct Target {
  UniqueFd parent;
  std::string name;
};

// Where an entry goes: its parents are made, resolved inside the directory.
Result<Target> locate(int directory, std::string_view path) {
  std::string clean;
  for (const std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return fail(ErrorCode::kInvalidArgument, "tar entry \"{}\" climbs out with \"..\"", path);
    }
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  if (path.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument, "tar entry \"{}\" is absolute", path);
  }
  const size_t slash = clean.find_last_of('/');
  if (slash == std::string::npos) {
    UniqueFd parent = TRY(open_at(directory, ".", O_RDONLY | O_DIRECTORY));
    return Target{.parent = std::move(parent), .name = clean};
  }
  const UniqueFd made = TRY(make_dirs_in_root(directory, clean.substr(0, slash)));
  UniqueFd parent = TRY(open_at(made.get(), ".", O_RDONLY | O_DIRECTORY));
  return Target{.parent = std::move(parent), .name = clean.substr(slash + 1)};
}

Result<> remove_old(const Target& target) {
  if (unlinkat(target.parent.get(), target.name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return fail_errno("replace \"{}\"", target.name);
}

Result<> extract_file(archive* a, const Target& target) {
  TRY(remove_old(target));
  const UniqueFd file = TRY(
      open_at(target.parent.get(), target.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  std::array<char, 65536> buffer{};
  for (;;) {
    const la_ssize_t count = archive_read_data(a, buffer.data(), buffer.size());
    if (count == 0) return {};
    if (count < 0) return archive_failure(a, "read tar");
    TRY(write_all(file.get(), {buffer.data(), static_cast<size_t>(count)}, target.name));
  }
}

Result<> extract_directory(const Target& target) {
  if (mkdirat(target.parent.get(), target.name.c_str(), 0700) == 0) return {};
  struct stat status{};
  if (errno == EEXIST &&
      fstatat(target.parent.get(), target.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISDIR(status.st_mode)) {
    return {};
  }
  errno = EEXIST;
  return fail_errno("mkdir \"{}\"", target.name);
}

Result<> extract_hardlink(int directory, const Target& target, const char* link) {
  const Target old = TRY(locate(directory, link));
  TRY(remove_old(target));
  if (linkat(old.parent.get(), old.name.c_str(), target.parent.get(), target.name.c_str(), 0) ==
      0) {
    return {};
  }
  return fail_errno("link \"{}\"", target.name);
}

Result<> extract_special(archive_entry* entry, const Target& target) {
  TRY(remove_old(target));
  const mode_t mode = archive_entry_mode(entry);
  const int made =
      S_ISLNK(mode)
          ? symlinkat(archive_entry_symlink(entry), target.parent.get(), target.name.c_str())
          : mknodat(target.parent.get(), target.name.c_str(), mode, archive_entry_rdev(entry));
  return made == 0 ? Result<>() : fail_errno("make \"{}\"", target.name);
}

Result<> apply_owner_and_mode(archive_entry* entry, const Target& target) {
  const auto uid = static_cast<uid_t>(archive_entry_uid(entry));
  const auto gid = static_cast<gid_t>(archive_entry_gid(entry));
  const int parent = target.parent.get();
  if (fchownat(parent, target.name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("chown \"{}\"", target.name);
  }
  const std::array<timespec, 2> times = {
      timespec{.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)},
      timespec{.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)}};
  (void)utimensat(parent, target.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
  const mode_t mode = archive_entry_mode(entry);
  if (!S_ISREG(mode) && !S_ISDIR(mode)) return {};
  const UniqueFd made = TRY(open_at(parent, target.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  return fchmod(made.get(), mode & 07777U) == 0 ? Result<>()
                                                : fail_errno("chmod \"{}\"", target.name);
}

Result<> extract(archive* a, archive_entry* entry, int directory) {
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) return fail(ErrorCode::kInvalidArgument, "a tar entry has no name");
  const Target target = TRY(locate(directory, path));
  if (target.name.empty()) return {};  // "./": the directory itself
  if (const char* link = archive_entry_hardlink(entry); link != nullptr) {
    return extract_hardlink(directory, target, link);
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      TRY(extract_file(a, target));
      break;
    case AE_IFDIR:
      TRY(extract_directory(target));
      break;
    case AE_IFSOCK:
      return {};
    default:
      TRY(extract_special(entry, target));
      break;
  }
  return apply_owner_and_mode(entry, target);
}

}  // namespace

Result<> write_tar(int directory, const std::string& name, int output) {
  Archive archive(archive_write_new());
  if (!archive || archive_write_set_format_pax_restricted(archive.get()) != ARCHIVE_OK ||
      archive_write_open_fd(archive.get(), output) != ARCHIVE_OK) {
    return archive_failure(archive.get(), "write tar");
  }
  TarWriter writer(std::move(archive));
  TRY(writer.add(directory, name, name, 0));
  return writer.finish();
}

Result<> read_tar(int input, int directory) {
  const Archive archive(archive_read_new());
  archive_read_support_format_tar(archive.get());
  archive_read_support_filter_gzip(archive.get());
  archive_read_support_filter_zstd(archive.get());
  if (archive_read_open_fd(archive.get(), input, 65536) != ARCHIVE_OK) {
    return archive_failure(archive.get(), "read tar");
  }
  for (;;) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(archive.get(), &entry);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
      return archive_failure(archive.get(), "read tar");
    TRY(extract(archive.get(), entry, directory));
  }
}

}  // namespace trivet::runtime
