#include "install/config_file.h"

#include <algorithm>
#include <array>
#include <sys/xattr.h>
#include <vector>

#include "base/fs.h"
#include "base/text.h"

namespace trivet::install {

namespace {

struct Place {
  std::string folder;
  std::string name;
};

Place place_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Error refusal(ErrorCode code, const std::string& path, std::string_view why) {
  return {code, fmt::format("\"{}\" {}", path, why)};
}

Result<> check_file(const std::string& path, const struct stat& status) {
  if (S_ISLNK(status.st_mode)) {
    return std::unexpected(
        refusal(ErrorCode::kUnsupported, path, "is a symbolic link, which replacing it would end")
            .hint("name the file that it leads to with --config"));
  }
  if (!S_ISREG(status.st_mode)) {
    return std::unexpected(refusal(ErrorCode::kUnsupported, path, "is no ordinary file"));
  }
  if (status.st_nlink > 1) {
    return std::unexpected(
        refusal(ErrorCode::kUnsupported, path,
                "has a second name (a hard link), which would keep the old text"));
  }
  if (status.st_uid != geteuid()) {
    return std::unexpected(refusal(ErrorCode::kPermissionDenied, path,
                                   fmt::format("belongs to the user {}", status.st_uid))
                               .hint(geteuid() == 0 ? "give it to root first" : "try it as root"));
  }
  if ((status.st_mode & S_IWOTH) != 0) {
    return std::unexpected(
        refusal(ErrorCode::kPermissionDenied, path,
                "can be written by everybody, who so could run "
                "programs as the user of its reader")
            .hint(fmt::format("look at what it says, then `chmod o-w {}`", path)));
  }
  return {};
}

Result<> check_folder(const std::string& folder) {
  struct stat status{};
  if (stat(folder.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("look at \"{}\"", folder);
  }
  if ((status.st_mode & S_IWOTH) == 0 || (status.st_mode & S_ISVTX) != 0) return {};
  return std::unexpected(
      refusal(ErrorCode::kPermissionDenied, folder,
              "is a directory in which everybody can put a file in another's place")
          .hint(fmt::format("`chmod o-w {}`", folder)));
}

// SELinux labels and ACLs, where the file system has them.
void copy_attributes(int from, int to) {
  std::array<char, 4096> names{};
  const ssize_t length = flistxattr(from, names.data(), names.size());
  if (length <= 0) return;
  for (const std::string& name : split({names.data(), static_cast<size_t>(length)}, '\0')) {
    std::array<char, 4096> value{};
    const ssize_t size =
        name.empty() ? -1 : fgetxattr(from, name.c_str(), value.data(), value.size());
    if (size >= 0) (void)fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(size), 0);
  }
}

Result<> take_over(int from, int to, const std::string& path) {
  struct stat status{};
  if (fstat(from, &status) != 0) return fail_errno("look at \"{}\"", path);
  if (fchown(to, status.st_uid, status.st_gid) != 0)
    return fail_errno("keep the owner of \"{}\"", path);
  copy_attributes(from, to);
  if (fchmod(to, status.st_mode & 07777) != 0) return fail_errno("keep the mode of \"{}\"", path);
  return {};
}

Result<> write_beside(int folder, const Place& place, const std::string& temporary,
                      std::string_view text) {
  const std::string path = place.folder + "/" + place.name;
  const UniqueFd fd =
      TRY(open_at(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(write_all(fd.get(), text, path));
  auto old = open_at(folder, place.name, O_RDONLY | O_NOFOLLOW);
  if (old) {
    TRY(take_over(old->get(), fd.get(), path));
  } else if (old.error().errnum() != ENOENT) {
    return std::unexpected(std::move(old).error());
  } else if (fchmod(fd.get(), 0644) != 0) {
    return fail_errno("set the mode of \"{}\"", path);
  }
  if (fsync(fd.get()) != 0) return fail_errno("fsync \"{}\"", path);
  if (renameat(folder, temporary.c_str(), folder, place.name.c_str()) != 0) {
    return fail_errno("rename to \"{}\"", path);
  }
  if (fsync(folder) != 0) return fail_errno("fsync \"{}\"", place.folder);
  return {};
}

}  // namespace

Result<std::optional<std::string>> read_config_file(const std::string& path) {
  if (!path.starts_with('/') || path.ends_with('/')) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no absolute path of a file", path);
  }
  TRY(check_folder(place_of(path).folder));
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    return fail_errno("look at \"{}\"", path);
  }
  TRY(check_file(path, status));
  const UniqueFd fd = TRY(open_file(path, O_RDONLY | O_NOFOLLOW));
  return TRY(read_fd(fd.get(), path, kMaxConfigBytes));
}

Result<> check_writable(const std::string& path) {
  std::string folder = place_of(path).folder;
  while (!exists(folder) && folder != "/") folder = place_of(folder).folder;
  if (faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return {};
  const int errnum = errno;
  return std::unexpected(
      Error::from_errno(errnum, fmt::format("write to \"{}\"", folder))
          .with_code(ErrorCode::kPermissionDenied)
          .hint(geteuid() == 0 ? "is the file system mounted read-only?" : "try it as root"));
}

Result<> write_config_file(const std::string& path, std::string_view text) {
  const Place place = place_of(path);
  const UniqueFd folder = TRY(open_file(place.folder, O_RDONLY | O_DIRECTORY));
  const std::string temporary = fmt::format(".{}.trivet-{}", place.name, random_hex(6));
  auto written = write_beside(folder.get(), place, temporary, text);
  if (!written) unlinkat(folder.get(), temporary.c_str(), 0);
  return written;
}

}  // namespace trivet::install
