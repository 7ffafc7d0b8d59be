// Whiteouts and extended attributes: where a layer's wishes meet overlayfs's own marks.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/unpack_writer.h"

namespace trivet::image {

namespace {

// overlayfs reads trusted.* and, mounted with "userxattr" as an unprivileged user must, user.*.
Result<> set_opaque(int fd) {
  if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0) return {};
  if (errno == EPERM && fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) == 0) return {};
  if (errno == ENOTSUP) {
    return fail(ErrorCode::kUnsupported,
                "the file system of the image store has no extended attributes");
  }
  return fail_errno("set the attribute overlay.opaque");
}

bool nothing_there(const Error& error) {
  return error.errnum() == ENOENT || error.errnum() == ENOTDIR;
}

}  // namespace

Result<> LayerWriter::apply_xattrs(int fd, const Attributes& attributes) {
  for (const auto& [name, value] : attributes.xattrs) {
    const bool set = fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0;
    // The attributes of a user's own files need no privilege: only a file system without them
    // refuses.
    if (name.starts_with("user.") && !set) return fail_errno("set the attribute \"{}\"", name);
    TRY(skippable(set, "set the attribute \"" + name + "\"", Needs::kPrivilege));
  }
  return {};
}

Result<> LayerWriter::mark_opaque(const std::string& directory) {
  if (directory.empty()) {
    opaque_root_ = true;
    return {};
  }
  TRY(parent(directory));
  const UniqueFd fd = TRY(open_in_root(root_fd_, directory, O_RDONLY | O_DIRECTORY));
  return set_opaque(fd.get());
}

Result<> LayerWriter::mark_whiteout(const LayerPath& hidden) {
  auto opened = open_in_root(root_fd_, hidden.directory.empty() ? "." : hidden.directory,
                             O_PATH | O_DIRECTORY);
  // A whiteout or a file of this layer took the directory's place: nothing below it is visible.
  if (!opened && opened.error().errnum() == ENOTDIR) return {};
  const int parent_fd = TRY(parent(hidden.directory));
  struct stat status{};
  if (fstatat(parent_fd, hidden.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISDIR(status.st_mode)) return {};  // this layer's own file hides the lower one anyway
    const UniqueFd fd = TRY(open_at(parent_fd, hidden.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return set_opaque(fd.get());
  }
  if (errno != ENOENT) return fail_errno("stat");
  // Device 0:0 needs no privilege (since Linux 5.8).
  if (mknodat(parent_fd, hidden.name.c_str(), S_IFCHR, makedev(0, 0)) != 0) {
    return fail_errno("make the whiteout");
  }
  return {};
}

Result<> apply_whiteout(int root_fd, const LayerEntry& entry) {
  const bool opaque = entry.type == LayerEntry::Type::kOpaque;
  const std::string text = opaque ? entry.path.text() : entry.path.directory;
  auto directory = open_in_root(root_fd, text.empty() ? "." : text, O_RDONLY | O_DIRECTORY);
  if (!directory && nothing_there(directory.error())) return {};
  if (!directory) return std::unexpected(std::move(directory).error());
  if (!opaque) return remove_tree(directory->get(), entry.path.name);
  for (const std::string& name : TRY(list_dir(directory->get(), "."))) {
    TRY(remove_tree(directory->get(), name));
  }
  return {};
}

}  // namespace trivet::image
