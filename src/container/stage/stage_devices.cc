// The stage's device nodes, links and terminal.

#include "container/stage/stage.h"
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

namespace trivet::stage {

namespace {

// asm-generic/ioctls.h; the header itself clashes with nothing, but its types need termios.
constexpr unsigned kTiocSetPtyLock = 0x40045431;
constexpr unsigned kTiocGetPtyPeer = 0x5441;
constexpr unsigned kTiocSetWindowSize = 0x5414;
constexpr uint32_t kDevpts = 0x1cd1;
constexpr int kNoFollow = 0x100;  // AT_SYMLINK_NOFOLLOW

// The directory of `path` inside the root, made when missing, and the name of its last component.
long open_parent(Context& context, const char* path, const char*& name) {
  const size_t size = length(path);
  size_t slash = size;
  while (slash > 0 && path[slash - 1] != '/') --slash;
  name = path + slash;
  char directory[4096];
  if (slash >= sizeof directory) return -ENAMETOOLONG;
  for (size_t i = 0; i < slash; ++i) directory[i] = path[i];
  directory[slash] = '\0';
  return make_in_root(context, slash == 0 ? "/" : directory, Make::kDirectory);
}

long bind_device(Context& context, const DeviceOp& op) {
  const long source =
      sys(__NR_open_tree, AT_FDCWD, context.text(op.path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (source < 0) return source;
  FileKind kind;
  long result = look_at(source, kind);
  if (result >= 0 && (kind.major != op.major || kind.minor != op.minor)) result = -ENODEV;
  if (result >= 0) {
    const long target = make_in_root(context, context.text(op.path), Make::kFile);
    result = target < 0 ? target : move_to(source, target);
    if (target >= 0) sys(__NR_close, target);
  }
  sys(__NR_close, source);
  return result;
}

Outcome make_device(Context& context, const DeviceOp& op, uint32_t index) {
  if (op.bind != 0) return check(bind_device(context, op), index, Call::kMknod);
  const char* name = nullptr;
  const long parent = open_parent(context, context.text(op.path), name);
  if (parent < 0) return failed(parent, index, Call::kOpenTarget);
  // The kernel's encoding of a device number (new_encode_dev).
  const uint64_t device =
      (op.minor & 0xffU) | ((op.major & 0xfffU) << 8U) | ((op.minor & ~0xffU) << 12U);
  long result = sys(__NR_mknodat, parent, name, op.mode, device);
  Call call = Call::kMknod;
  if (result == -EEXIST) {
    result = sys(__NR_unlinkat, parent, name, 0);
    if (result >= 0) result = sys(__NR_mknodat, parent, name, op.mode, device);
  }
  if (result >= 0 && (op.uid != 0 || op.gid != 0)) {
    call = Call::kChown;
    result = sys(__NR_fchownat, parent, name, op.uid, op.gid, kNoFollow);
  }
  sys(__NR_close, parent);
  return check(result, index, call);
}

Outcome make_symlink(Context& context, const SymlinkOp& op, uint32_t index) {
  const char* name = nullptr;
  const long parent = open_parent(context, context.text(op.path), name);
  if (parent < 0) return failed(parent, index, Call::kOpenTarget);
  const long result = sys(__NR_symlinkat, context.text(op.target), parent, name);
  sys(__NR_close, parent);
  return result == -EEXIST ? Outcome{} : check(result, index);
}

// The multiplexer of a devpts, verified to be one (CVE-2025-52565), and its new slave.
Outcome open_pty(Context& context, int root_fd) {
  open_how how{.flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
               .mode = 0,
               .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
  const long master = sys(__NR_openat2, root_fd, "dev/pts/ptmx", &how, sizeof how);
  if (master < 0) return failed(master, 0, Call::kOpenPty);
  context.master_fd = static_cast<int>(master);
  FileKind kind;
  long result = look_at(master, kind);
  constexpr uint32_t kPtmxMajor = 5;
  constexpr uint32_t kPtmxMinor = 2;
  if (result >= 0 && !kind.is_character_device(kPtmxMajor, kPtmxMinor)) result = -ENODEV;
  uint64_t filesystem[15];  // struct statfs: f_type comes first
  if (result >= 0) result = sys(__NR_fstatfs, master, filesystem);
  if (result >= 0 && static_cast<uint32_t>(filesystem[0]) != kDevpts) result = -ENODEV;
  if (result < 0) return failed(result, 0, Call::kCheck);
  const int unlock = 0;
  result = sys(__NR_ioctl, master, kTiocSetPtyLock, &unlock);
  if (result >= 0) result = sys(__NR_ioctl, master, kTiocGetPtyPeer, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (result < 0) return failed(result, 0, Call::kOpenPty);
  context.slave_fd = static_cast<int>(result);
  return {};
}

void set_window_size(const Context& context) {
  if (!context.has(kHasConsoleSize)) return;
  const uint16_t size[4] = {static_cast<uint16_t>(context.plan->console_rows),
                            static_cast<uint16_t>(context.plan->console_columns), 0, 0};
  sys(__NR_ioctl, context.slave_fd, kTiocSetWindowSize, size);
}

Outcome bind_console(Context& context) {
  const long tree =
      sys(__NR_open_tree, context.slave_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | kEmptyPath);
  if (tree < 0) return failed(tree, 0, Call::kOpenSource);
  // Not through a symlink of the image's: it could have the terminal cover a file of procfs.
  const long made = make_in_root(context, "/dev/console", Make::kFile);
  long target = made;
  if (made >= 0) {
    target = open_plain(context, "/dev/console", O_PATH);
    sys(__NR_close, made);
  }
  const long result = target < 0 ? target : move_to(tree, target);
  if (target >= 0) sys(__NR_close, target);
  sys(__NR_close, tree);
  return check(result, 0, Call::kMoveMount);
}

}  // namespace

Outcome make_devices(Context& context) {
  if (context.plan->devices.count == 0) return {};
  const DeviceOp* ops = context.data(context.plan->devices);
  const long old_mask = sys(__NR_umask, 0);  // modes are exact
  Outcome outcome;
  for (uint32_t i = 0; i < context.plan->devices.count && outcome.ok(); ++i) {
    outcome = make_device(context, ops[i], i);
  }
  sys(__NR_umask, old_mask);
  return outcome;
}

Outcome make_symlinks(Context& context) {
  const SymlinkOp* ops = context.data(context.plan->symlinks);
  for (uint32_t i = 0; i < context.plan->symlinks.count; ++i) {
    const Outcome outcome = make_symlink(context, ops[i], i);
    if (!outcome.ok()) return outcome;
  }
  return {};
}

Outcome open_console(Context& context) {
  if (!context.has(kTerminal)) return {};
  int root_fd = context.has(kSetRoot) ? context.root_fd : context.plan->root_fd;
  const bool is_opened = root_fd < 0;
  if (is_opened) {
    const long fd = sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failed(fd);
    root_fd = static_cast<int>(fd);
  }
  Outcome outcome = open_pty(context, root_fd);
  if (is_opened) sys(__NR_close, root_fd);
  if (!outcome.ok()) return outcome;
  set_window_size(context);
  if (context.has(kSetRoot)) outcome = bind_console(context);
  if (!outcome.ok()) return outcome;
  send_message(context, Message{.kind = MessageKind::kConsole}, context.master_fd);
  sys(__NR_close, context.master_fd);
  return {};
}

}  // namespace trivet::stage
