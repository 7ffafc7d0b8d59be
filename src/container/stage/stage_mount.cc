// The stage's file system steps. Every path inside the root goes through open_in_root().

#include "container/stage/stage.h"
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

namespace trivet::stage {

long open_plain(const Context& context, const char* path, uint64_t flags) {
  open_how how{
      .flags = flags | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
  return sys(__NR_openat2, context.root_fd, path, &how, sizeof how);
}

long look_at(long fd, FileKind& kind) {
  struct statx status;
  const long result = sys(__NR_statx, fd, "", kEmptyPath, STATX_TYPE | STATX_MODE, &status);
  if (result < 0) return result;
  kind = FileKind{
      .mode = status.stx_mode, .major = status.stx_rdev_major, .minor = status.stx_rdev_minor};
  return 0;
}

long move_to(long mount_fd, long target_fd) {
  return sys(__NR_move_mount, mount_fd, "", target_fd, "",
             MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

namespace {

constexpr int kRecursive = 0x8000;  // AT_RECURSIVE
constexpr int kDetach = 2;          // MNT_DETACH

long set_attributes(long fd, uint64_t set, uint64_t clear, uint64_t propagation, int at_flags) {
  if (set == 0 && clear == 0 && propagation == 0) return 0;
  mount_attr attributes{
      .attr_set = set, .attr_clr = clear, .propagation = propagation, .userns_fd = 0};
  return sys(__NR_mount_setattr, fd, "", kEmptyPath | at_flags, &attributes, sizeof attributes);
}

long apply_attributes(const MountOp& op, long fd) {
  long result = set_attributes(fd, op.attr_set, op.attr_clear, 0, 0);
  if (result >= 0) {
    result = set_attributes(fd, op.recursive_attr_set, op.recursive_attr_clear, 0, kRecursive);
  }
  if (result >= 0) {
    result =
        set_attributes(fd, 0, 0, op.propagation, op.propagation_recursive != 0 ? kRecursive : 0);
  }
  return result;
}

Outcome new_filesystem(const Context& context, const MountOp& op, uint32_t index, long& mount_fd) {
  const long fs = sys(__NR_fsopen, context.text(op.type), FSOPEN_CLOEXEC);
  if (fs < 0) return failed(fs, index, Call::kFsopen);
  long result = 0;
  if (op.source.offset != 0) {
    result = sys(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "source", context.text(op.source), 0);
  }
  const FsOption* options = context.data(op.options);
  for (uint32_t i = 0; i < op.options.count && result >= 0; ++i) {
    const bool flag = options[i].value.offset == 0;
    result = sys(__NR_fsconfig, fs, flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING,
                 context.text(options[i].key), flag ? nullptr : context.text(options[i].value), 0);
  }
  if (result >= 0) result = sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0L, 0L, 0);
  Call call = Call::kFsconfig;
  if (result >= 0) {
    call = Call::kFsmount;
    // Read-only comes with the other attributes, after what has to be written first.
    const uint64_t later = op.copy_up != 0 || op.inherit_mode != 0 ? MOUNT_ATTR_RDONLY : 0U;
    result = sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC, op.attr_set & ~later);
  }
  sys(__NR_close, fs);
  mount_fd = result;
  return check(result, index, call);
}

Outcome clone_tree(const Context& context, const MountOp& op, uint32_t index, long& mount_fd) {
  if (op.source_fd >= 0) {
    mount_fd = op.source_fd;
    return {};
  }
  mount_fd = sys(__NR_open_tree, AT_FDCWD, context.text(op.source),
                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (op.recursive != 0 ? kRecursive : 0));
  return check(mount_fd, index, Call::kOpenSource);
}

// procfs and sysfs must not be put elsewhere through a symlink (CVE-2019-19921).
bool target_must_be_plain(const Context& context, const MountOp& op) {
  return op.kind == MountKind::kFilesystem &&
         (equal(context.text(op.type), "proc") || equal(context.text(op.type), "sysfs"));
}

Outcome open_target(Context& context, const MountOp& op, uint32_t index, Make make, long& target) {
  target = make_in_root(context, context.text(op.target), make);
  if (target < 0) return failed(target, index, Call::kMakeTarget);
  if (!target_must_be_plain(context, op)) return {};
  const long plain = open_plain(context, context.text(op.target), O_PATH | O_DIRECTORY);
  if (plain < 0) return failed(plain, index, Call::kOpenTarget);
  sys(__NR_close, target);
  target = plain;
  return {};
}

// A new tmpfs takes over what the directory below it has: its permissions, or all of it.
long take_over(const MountOp& op, long mount_fd, long target) {
  if (op.inherit_mode == 0 && op.copy_up == 0) return 0;
  const long to = sys(__NR_openat, mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (to < 0) return to;
  const long from = sys(__NR_openat, target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  long result = from;
  if (from >= 0 && op.copy_up != 0) result = copy_tree(from, to);
  FileKind kind;
  if (result >= 0) result = look_at(from, kind);
  if (result >= 0 && op.inherit_mode != 0) result = sys(__NR_fchmod, to, kind.mode & 07777U);
  if (from >= 0) sys(__NR_close, from);
  sys(__NR_close, to);
  return result;
}

Outcome attach(Context& context, const MountOp& op, uint32_t index, long mount_fd) {
  FileKind kind;
  long result = look_at(mount_fd, kind);
  if (result < 0) return failed(result, index, Call::kOpenSource);
  long target = -1;
  const Outcome opened =
      open_target(context, op, index, kind.is_directory() ? Make::kDirectory : Make::kFile, target);
  if (!opened.ok()) return opened;
  result = take_over(op, mount_fd, target);
  if (result < 0) {
    sys(__NR_close, target);
    return failed(result, index, Call::kCopyUp);
  }
  result = apply_attributes(op, mount_fd);
  if (result < 0) {
    sys(__NR_close, target);
    return failed(result, index, Call::kMountSetattr);
  }
  result = move_to(mount_fd, target);
  sys(__NR_close, target);
  return check(result, index, Call::kMoveMount);
}

Outcome remount(const Context& context, const MountOp& op, uint32_t index) {
  const long target = open_in_root(context.root_fd, context.text(op.target), O_PATH);
  if (target < 0) return failed(target, index, Call::kOpenTarget);
  const long result = apply_attributes(op, target);
  sys(__NR_close, target);
  return check(result, index, Call::kMountSetattr);
}

Outcome mount_one(Context& context, const MountOp& op, uint32_t index) {
  if (op.kind == MountKind::kRemount) return remount(context, op, index);
  long mount_fd = -1;
  const Outcome made = op.kind == MountKind::kBind ? clone_tree(context, op, index, mount_fd)
                                                   : new_filesystem(context, op, index, mount_fd);
  if (!made.ok()) return op.optional_source != 0 && made.error == -ENOENT ? Outcome{} : made;
  const Outcome attached = attach(context, op, index, mount_fd);
  sys(__NR_close, mount_fd);
  return attached;
}

// One read-only tmpfs covers every masked directory: mounting one for each is slow.
struct MaskSources {
  long null_fd = -1;
  long directory = -1;
};

long mask_directory(MaskSources& sources, long target) {
  if (sources.directory >= 0) {
    const long copy = sys(__NR_open_tree, sources.directory, "",
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | kEmptyPath);
    if (copy < 0) return copy;
    const long result = move_to(copy, target);
    sys(__NR_close, copy);
    return result;
  }
  const long fs = sys(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0) return fs;
  long result = sys(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "nr_blocks", "1", 0);
  if (result >= 0) result = sys(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0);
  if (result >= 0) result = sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0L, 0L, 0);
  if (result >= 0) {
    result = sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC,
                 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  }
  sys(__NR_close, fs);
  if (result < 0) return result;
  sources.directory = result;
  return move_to(sources.directory, target);
}

long mask_file(MaskSources& sources, long target) {
  if (sources.null_fd < 0) {
    const long fd = sys(__NR_openat, AT_FDCWD, "/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return fd;
    FileKind kind;
    const long looked = look_at(fd, kind);
    if (looked < 0) return looked;
    constexpr uint32_t kNullMajor = 1;
    constexpr uint32_t kNullMinor = 3;
    if (!kind.is_character_device(kNullMajor, kNullMinor)) return -ENODEV;  // CVE-2025-31133
    sources.null_fd = fd;
  }
  const long copy =
      sys(__NR_open_tree, sources.null_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | kEmptyPath);
  if (copy < 0) return copy;
  const long result = move_to(copy, target);
  sys(__NR_close, copy);
  return result;
}

bool is_absent(long error) {
  return error == -ENOENT || error == -ENOTDIR;
}

long mask_one(Context& context, MaskSources& sources, const char* path) {
  const long target = open_in_root(context.root_fd, path, O_PATH);
  if (is_absent(target)) return 0;
  if (target < 0) return target;
  FileKind kind;
  long result = look_at(target, kind);
  if (result >= 0) {
    result = kind.is_directory() ? mask_directory(sources, target) : mask_file(sources, target);
  }
  sys(__NR_close, target);
  return result;
}

long protect_one(Context& context, const char* path) {
  const long target = open_in_root(context.root_fd, path, O_PATH);
  if (is_absent(target)) return 0;
  if (target < 0) return target;
  const long tree = sys(__NR_open_tree, target, "",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | kEmptyPath | kRecursive);
  long result = tree;
  if (tree >= 0) {
    result = set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, kRecursive);
    if (result >= 0) result = move_to(tree, target);
    sys(__NR_close, tree);
  }
  sys(__NR_close, target);
  return result;
}

// Where mounts are shared with the host, the one that holds the new root must not be: the root's
// own mount would appear on the host, and pivot_root refuses a new root whose parent mount is
// shared.
Outcome make_holder_private(const char* target) {
  long fd = sys(__NR_openat, AT_FDCWD, target, O_PATH | O_DIRECTORY | O_CLOEXEC);
  while (fd >= 0) {
    struct statx status;
    long result = sys(__NR_statx, fd, "", kEmptyPath, STATX_TYPE, &status);
    const bool at_mount = result >= 0 && (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    if (at_mount) result = set_attributes(fd, 0, 0, MS_PRIVATE, 0);
    const long up = sys(__NR_openat, fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    sys(__NR_close, fd);
    if (result < 0 || at_mount) {
      if (up >= 0) sys(__NR_close, up);
      return check(result, 0, Call::kMountSetattr);
    }
    fd = up;
  }
  return failed(fd, 0, Call::kOpenTarget);
}

// Without a mount namespace of its own; the root is mounted in the one that it is in.
Outcome enter_mounted_root(int root_fd) {
  long result = sys(__NR_fchdir, root_fd);
  if (result >= 0) result = sys(__NR_chroot, ".");
  sys(__NR_close, root_fd);
  return check(result);
}

// The old root becomes a slave before it is taken away, lest that reaches the host. Only umount2(2)
// takes "." for what is on top of it: for anything else one has to be there.
long pivot_out_of_shared() {
  const long old_root = sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old_root < 0) return old_root;
  long result = sys(__NR_pivot_root, ".", ".");
  if (result >= 0) result = sys(__NR_fchdir, old_root);
  if (result >= 0) result = sys(__NR_mount, 0L, ".", 0L, MS_SLAVE | MS_REC, 0L);
  sys(__NR_close, old_root);
  return result;
}

}  // namespace

Outcome mount_root(Context& context) {
  if (!context.has(kSetRoot)) return {};
  const Plan& plan = *context.plan;
  if (plan.root_fd >= 0) {
    context.root_fd = plan.root_fd;
    return {};
  }
  // What is mounted in another one's namespace stays as it is.
  const bool is_own = !context.has(kJoinedMounts);
  long result = is_own ? sys(__NR_mount, 0L, "/", 0L, plan.root_propagation, 0L) : 0;
  if (result < 0) return failed(result);
  const MountOp& op = plan.root;
  if (is_own && (plan.root_propagation & MS_SHARED) != 0) {
    const Outcome done = make_holder_private(context.text(op.target));
    if (!done.ok()) return done;
  }
  if (op.kind == MountKind::kRemount) {
    // An overlay whose options fit into one page goes the old way, which every kernel has: fsconfig
    // takes 255 bytes a value, and "lowerdir+" came with Linux 6.7.
    const FsOption* data = context.data(op.options);
    result = sys(__NR_mount, "overlay", context.text(op.target), context.text(op.type), 0,
                 context.text(data->value));
    if (result < 0) return failed(result, 0, Call::kFsmount);
    result = sys(__NR_openat, AT_FDCWD, context.text(op.target), O_PATH | O_DIRECTORY | O_CLOEXEC);
    context.root_fd = static_cast<int>(result);
    return check(result, 0, Call::kOpenTarget);
  }
  long mount_fd = -1;
  const Outcome made = op.kind == MountKind::kBind ? clone_tree(context, op, 0, mount_fd)
                                                   : new_filesystem(context, op, 0, mount_fd);
  if (!made.ok()) return made;
  context.root_fd = static_cast<int>(mount_fd);
  result = sys(__NR_move_mount, mount_fd, "", AT_FDCWD, context.text(op.target),
               MOVE_MOUNT_F_EMPTY_PATH);
  if (result < 0) return failed(result, 0, Call::kMoveMount);
  // Nor may the new root be shared itself.
  return check(set_attributes(mount_fd, 0, 0, op.propagation, 0), 0, Call::kMountSetattr);
}

Outcome mount_all(Context& context) {
  const MountOp* ops = context.data(context.plan->mounts);
  for (uint32_t i = 0; i < context.plan->mounts.count; ++i) {
    const Outcome outcome = mount_one(context, ops[i], i);
    if (!outcome.ok()) return outcome;
  }
  return {};
}

Outcome write_sysctls(Context& context) {
  const SysctlOp* ops = context.data(context.plan->sysctls);
  if (context.plan->sysctls.count == 0) return {};
  const long proc = private_proc(context);
  if (proc < 0) return failed(proc, 0, Call::kFsmount);
  for (uint32_t i = 0; i < context.plan->sysctls.count; ++i) {
    open_how how{
        .flags = O_WRONLY | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    const long fd = sys(__NR_openat2, context.proc_fd, context.text(ops[i].path), &how, sizeof how);
    if (fd < 0) return failed(fd, i, Call::kOpenTarget);
    const char* value = context.text(ops[i].value);
    const long written = sys(__NR_write, fd, value, length(value));
    sys(__NR_close, fd);
    if (written < 0) return failed(written, i, Call::kWrite);
  }
  return {};
}

Outcome mask_paths(Context& context) {
  const Text* paths = context.data(context.plan->masked_paths);
  MaskSources sources;
  Outcome outcome;
  for (uint32_t i = 0; i < context.plan->masked_paths.count && outcome.ok(); ++i) {
    outcome = check(mask_one(context, sources, context.text(paths[i])), i);
  }
  if (sources.null_fd >= 0) sys(__NR_close, sources.null_fd);
  if (sources.directory >= 0) sys(__NR_close, sources.directory);
  return outcome;
}

Outcome protect_paths(Context& context) {
  const Text* paths = context.data(context.plan->readonly_paths);
  for (uint32_t i = 0; i < context.plan->readonly_paths.count; ++i) {
    const long result = protect_one(context, context.text(paths[i]));
    if (result < 0) return failed(result, i);
  }
  return {};
}

// On top of the root. The program's paths begin below it; those of whoever comes by setns(2) begin
// at the top.
Outcome show_root(Context& context) {
  const Plan& plan = *context.plan;
  if (plan.shown.count == 0) return {};
  const MountOp* ops = context.data(plan.shown);
  long cover = -1;
  Outcome outcome = clone_tree(context, ops[0], 0, cover);
  if (!outcome.ok()) return outcome;
  outcome = check(apply_attributes(ops[0], cover), 0, Call::kMountSetattr);
  if (outcome.ok()) outcome = check(move_to(cover, context.root_fd), 0, Call::kMoveMount);
  const int root_fd = context.root_fd;
  context.root_fd = static_cast<int>(cover);
  for (uint32_t i = 1; i < plan.shown.count && outcome.ok(); ++i) {
    outcome = mount_one(context, ops[i], i);
  }
  context.root_fd = root_fd;
  sys(__NR_close, cover);
  return outcome;
}

Outcome pivot_root(Context& context) {
  if (!context.has(kSetRoot)) {
    return context.plan->root_fd < 0 ? Outcome{} : enter_mounted_root(context.plan->root_fd);
  }
  // A working directory that the image lacks is made, as runc does; enter_cwd() reports what fails.
  const long cwd = make_in_root(context, context.text(context.plan->cwd), Make::kDirectory);
  if (cwd >= 0) sys(__NR_close, cwd);
  if (context.plan->root_fd >= 0) {
    context.root_fd = -1;
    return enter_mounted_root(context.plan->root_fd);
  }
  if (context.has(kJoinedMounts)) {
    const int root_fd = context.root_fd;
    context.root_fd = -1;
    return enter_mounted_root(root_fd);
  }
  long result = sys(__NR_fchdir, context.root_fd);
  if (result >= 0 && context.has(kNoPivot)) {
    result = sys(__NR_move_mount, context.root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
    if (result >= 0) result = sys(__NR_chroot, ".");
  } else if (result >= 0) {
    // The old root ends up on top of "." (pivot_root(2), NOTES), where umount2(2) finds it.
    result = (context.plan->root_propagation & MS_SHARED) != 0 ? pivot_out_of_shared()
                                                               : sys(__NR_pivot_root, ".", ".");
    if (result >= 0) result = sys(__NR_umount2, ".", kDetach);
  }
  if (result >= 0) result = sys(__NR_chdir, "/");
  sys(__NR_close, context.root_fd);
  context.root_fd = -1;
  return check(result);
}

Outcome readonly_root(Context& context) {
  if (!context.has(kReadonlyRoot)) return {};
  mount_attr attributes{
      .attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  return check(sys(__NR_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes));
}

Outcome final_propagation(Context& context) {
  if (context.plan->final_root_propagation == 0) return {};
  return check(sys(__NR_mount, 0L, "/", 0L, context.plan->final_root_propagation, 0L));
}

}  // namespace trivet::stage
