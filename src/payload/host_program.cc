#include "payload/host_program.h"

#include <fcntl.h>
#include <sys/mount.h>

#include "base/fs.h"
#include <linux/mount.h>

namespace trivet::payload {

Result<UniqueFd> open_host_program(const std::string& path) {
  UniqueFd mounted(open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (mounted) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (mount_setattr(mounted.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
      return fail_errno("mount_setattr \"{}\" read-only", path);
    }
    return mounted;
  }
  // An ordinary user, who can't write to a program that is installed.
  if (errno != EPERM && errno != ENOSYS) return fail_errno("open_tree \"{}\"", path);
  return open_file(path, O_PATH);
}

}  // namespace trivet::payload
