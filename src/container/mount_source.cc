#include "container/mount_source.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/rollback.h"
#include <linux/mount.h>
#include <linux/sched.h>

namespace trivet::container {

namespace {

// A user namespace lives as long as a process in it or a descriptor of it: a child holds it until
// its maps are written and it is open.
Result<UniqueFd> make_user_namespace(const MountIdMap& map) {
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (pid < 0) return fail_errno("clone with a user namespace");
  if (pid == 0) {
    for (;;) pause();
  }
  const UniqueFd child(pidfd);
  Rollback end_child;
  end_child.add([&child]() -> Result<> {
    TRY(send_signal(child.get(), SIGKILL));
    TRY(reap_child(child.get()));
    return {};
  });
  const std::string proc = fmt::format("/proc/{}", pid);
  TRY_IN(write_existing(AT_FDCWD, proc + "/uid_map", map.uid_map), "uidMappings");
  TRY_IN(write_existing(AT_FDCWD, proc + "/gid_map", map.gid_map), "gidMappings");
  return open_file(proc + "/ns/user", O_RDONLY);
}

Result<> map_ids(const MountPlan& plan, int tree) {
  const UniqueFd user_namespace = TRY(make_user_namespace(*plan.id_map));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace.get());
  const int flags = AT_EMPTY_PATH | (plan.id_map->recursive ? AT_RECURSIVE : 0);
  if (syscall(SYS_mount_setattr, tree, "", flags, &attributes, sizeof attributes) != 0) {
    const bool can_not = errno == EINVAL;
    Error error = Error::from_errno(errno, fmt::format("map the ids of \"{}\"", plan.source));
    if (can_not) error = std::move(error).hint("its file system can't do that on this kernel");
    return std::unexpected(std::move(error));
  }
  return {};
}

Result<UniqueFd> clone_tree(const MountPlan& plan, int directory, const char* path) {
  const unsigned recursive = plan.options.recursive ? AT_RECURSIVE : 0;
  UniqueFd tree(
      static_cast<int>(syscall(SYS_open_tree, directory, path,
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recursive)));
  if (!tree) return fail_errno("open \"{}\"", plan.source);
  return tree;
}

Result<UniqueFd> clone_source(const MountPlan& plan) {
  const std::string& sub_path = plan.options.sub_path;
  if (sub_path.empty()) return clone_tree(plan, AT_FDCWD, plan.source.c_str());
  const UniqueFd directory = TRY(open_file(plan.source, O_PATH | O_DIRECTORY));
  const UniqueFd part =
      TRY_IN(open_in_root(directory.get(), sub_path, O_PATH), "below \"{}\"", plan.source);
  return clone_tree(plan, part.get(), "");
}

}  // namespace

Result<UniqueFd> open_mount_source(const MountPlan& plan) {
  UniqueFd tree = TRY(clone_source(plan));
  if (plan.id_map) TRY(map_ids(plan, tree.get()));
  return tree;
}

}  // namespace trivet::container
