#include "container/overlay_view.h"

#include <cstring>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd_passing.h"
#include "base/fs.h"
#include "base/socket_pair.h"
#include <linux/mount.h>

namespace trivet::container {

namespace {

Result<> set_option(int context, const char* key, const std::string& value) {
  if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return {};
  return fail_errno("overlay: set {}=\"{}\"", key, value);
}

Result<UniqueFd> mount_detached(const OverlayRoot& overlay) {
  const UniqueFd context(static_cast<int>(syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  if (!context) return fail_errno("fsopen overlay");
  for (const std::string& lower : overlay.lower_directories) {
    TRY(set_option(context.get(), "lowerdir+", lower));  // Linux 6.5
  }
  if (!overlay.upper_directory.empty()) {
    TRY(set_option(context.get(), "upperdir", overlay.upper_directory));
    TRY(set_option(context.get(), "workdir", overlay.work_directory));
  }
  if (syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return fail_errno("mount overlay");
  }
  UniqueFd root(static_cast<int>(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (!root) return fail_errno("fsmount overlay");
  return root;
}

std::string mount_data(const OverlayRoot& overlay) {
  const auto escape = [](const std::string& path) {
    std::string text;
    for (const char c : path) {
      if (c == ':' || c == ',' || c == '\\') text += '\\';
      text += c;
    }
    return text;
  };
  std::string data = "lowerdir=";
  for (const std::string& lower : overlay.lower_directories) {
    if (data.back() != '=') data += ':';
    data += escape(lower);
  }
  if (!overlay.upper_directory.empty()) {
    data += fmt::format(",upperdir={},workdir={}", escape(overlay.upper_directory),
                        escape(overlay.work_directory));
  }
  return data;
}

// In the child: mounts over "/mnt"-like `place` in a namespace of its own and sends the root back.
// Only system calls happen here: the parent may have threads.
int send_mount(int socket, const char* place, const char* data) {
  if (unshare(CLONE_NEWNS) != 0) return errno;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  if (mount("overlay", place, "overlay", 0, data) != 0) return errno;
  const int root = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return errno;
  return send_with_fd(socket, "", 1, root);
}

// For kernels without lowerdir+: mount(2) in a child's namespace. The mount outlives the namespace
// as long as the descriptor is open.
Result<UniqueFd> mount_in_child(const OverlayRoot& overlay, const std::string& place) {
  const std::string data = mount_data(overlay);
  if (data.size() >= 4095) {
    return fail(ErrorCode::kUnsupported,
                "this kernel (before Linux 6.5) takes no overlay of {} layers",
                overlay.lower_directories.size());
  }
  SocketPair sockets = TRY(make_socket_pair(SocketKind::kMessages));
  const pid_t child = fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) _exit(send_mount(sockets.theirs.get(), place.c_str(), data.c_str()));
  sockets.theirs.reset();
  char byte = 0;
  UniqueFd root;
  (void)receive_with_fd(sockets.ours.get(), &byte, sizeof byte, &root);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (root) return root;
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
  return fail_errno("mount overlay");
}

}  // namespace

Result<> allow_again(const OverlayRoot& overlay) {
  if (overlay.work_directory.empty()) return {};
  return remove_tree(AT_FDCWD, overlay.work_directory + "/work/incompat");
}

Result<UniqueFd> open_overlay(const OverlayRoot& overlay) {
  TRY(allow_again(overlay));
  if (overlay.upper_directory.empty() && overlay.lower_directories.size() == 1) {
    return open_file(overlay.lower_directories.front(), O_PATH | O_DIRECTORY);
  }
  auto root = mount_detached(overlay);
  if (root || root.error().errnum() != EINVAL) return root;
  // Any empty place serves as mount point: it is covered in the child's namespace only.
  const std::string& place =
      overlay.upper_directory.empty() ? overlay.lower_directories.front() : overlay.upper_directory;
  return mount_in_child(overlay, place);
}

}  // namespace trivet::container
