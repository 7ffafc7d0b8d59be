#include "linux/mounted_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"

namespace trivet {

namespace {

Result<uint64_t> mount_id(int fd, const std::string& path) {
  struct statx status{};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0)
    return fail_errno("statx \"{}\"", path);
  return status.stx_mnt_id;
}

}  // namespace

Result<DetachedRoot> clone_root(const std::string& directory) {
  DetachedRoot root;
  root.fd.reset(
      open_tree(AT_FDCWD, directory.c_str(),
                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | static_cast<unsigned>(AT_RECURSIVE)));
  if (!root.fd) return fail_errno("open_tree \"{}\"", directory);
  root.id = TRY(mount_id(root.fd.get(), directory));
  return root;
}

Result<> attach_root(const DetachedRoot& root, const std::string& directory) {
  if (move_mount(root.fd.get(), "", AT_FDCWD, directory.c_str(),
                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) != 0) {
    return fail_errno("move_mount to \"{}\"", directory);
  }
  // Only now: what is attached below a shared mount becomes shared.
  mount_attr attributes{};
  attributes.propagation = MS_PRIVATE;
  if (mount_setattr(root.fd.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                    sizeof attributes) != 0) {
    return fail_errno("mount_setattr \"{}\"", directory);
  }
  return {};
}

Result<> detach_root(const std::string& directory, uint64_t id) {
  {
    const auto top = open_file(directory, O_PATH | O_DIRECTORY);
    if (!top && top.error().errnum() == ENOENT) return {};
    if (!top) return std::unexpected(top.error());
    if (TRY(mount_id(top->get(), directory)) != id) return {};
  }
  if (umount2(directory.c_str(), MNT_DETACH) != 0) return fail_errno("umount \"{}\"", directory);
  return {};
}

}  // namespace trivet
