// A further process in a container.
#include <signal.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/user_root.h"
#include "container/container.h"
#include "container/creation.h"
#include "container/launch.h"
#include "container/plan.h"
#include "container/unix_socket.h"
#include <linux/sched.h>

namespace trivet::container {

namespace {

// Reports until the program was executed (the stream ends) or a step failed.
Result<> follow_exec(int sync_fd, const StagePlan& plan, const ExecOptions& options,
                     const std::function<Result<>(UniqueFd)>& on_listener, Started& started) {
  for (;;) {
    UniqueFd received;
    const auto message = TRY(receive_message(sync_fd, &received));
    if (!message) return {};
    if (message->kind == stage::MessageKind::kError) {
      return std::unexpected(describe_failure(*message, plan));
    }
    if (message->kind == stage::MessageKind::kPayloadFailed) {
      return std::unexpected(read_payload_failure(received));
    }
    if (message->kind == stage::MessageKind::kListener) {
      TRY(on_listener(std::move(received)));
      TRY(send_go(sync_fd));
      continue;
    }
    if (message->kind == stage::MessageKind::kReady && plan.process->oom_score_adj) {
      TRY_IN(write_existing(AT_FDCWD, fmt::format("/proc/{}/oom_score_adj", started.pid),
                            fmt::format("{}", *plan.process->oom_score_adj)),
             "process.oomScoreAdj");
      TRY(send_go(sync_fd));
    }
    if (message->kind != stage::MessageKind::kConsole || !received) continue;
    if (options.console_socket.empty()) {
      started.console = std::move(received);
    } else {
      TRY(send_console(options.console_socket, received.get()));
    }
  }
}

Result<ProcessPlan> plan_exec(const ExecOptions& options, const oci::Spec& spec) {
  std::vector<std::string> warnings;
  ProcessPlan plan = TRY(plan_process(options.process, powers_in(*spec.linux_config), warnings));
  plan.preserve_fds = static_cast<uint32_t>(options.preserve_fds);
  plan_program(options.program, plan);
  TRY(plan_linux_process(*spec.linux_config, plan));
  if (options.seccomp_program != nullptr) {
    use_seccomp(*options.seccomp_program, plan);
  } else if (spec.linux_config->seccomp) {
    TRY(plan_seccomp(*spec.linux_config->seccomp, options.seccomp_cache, plan));
  }
  return plan;
}

struct ExecLaunch {
  StageFds fds;
  std::vector<int> inherit;
  std::vector<UniqueFd> cgroup_fds;
  UniqueFd cgroup_directory;
  bool await_cgroup = false;  // systemd moves it
  LaunchOptions options;
};

// A process with initial CPUs joins by itself, after it has run on them.
Result<> prepare_cgroup(const cgroup::Cgroup& cgroup, bool has_initial_cpus, ExecLaunch& launch) {
  if (cgroup.is_scope() && !cgroup.is_in_reach()) {
    launch.await_cgroup = true;
    return {};
  }
  if (!has_initial_cpus) launch.cgroup_directory = TRY(cgroup.v2_directory_fd());
  launch.options.cgroup_fd = launch.cgroup_directory.get();
  if (launch.cgroup_directory) return {};
  launch.cgroup_fds = TRY(cgroup.open_join_fds());
  for (const UniqueFd& fd : launch.cgroup_fds) {
    launch.fds.cgroup.push_back(fd.get());
    launch.inherit.push_back(fd.get());
  }
  return {};
}

}  // namespace

Result<Started> Container::exec(const ExecOptions& options) const {
  const Status now = status();
  if (now != Status::kRunning && now != Status::kCreated) {
    return fail(ErrorCode::kWrongState,
                "cannot exec in container \"{}\": container not running: it is {}", id(),
                status_name(now));
  }
  const UniqueFd init = TRY(open_pidfd(record_.init));
  oci::Spec loaded;
  if (options.shell == nullptr) loaded = TRY(load_shell());
  const oci::Spec& spec = options.shell != nullptr ? *options.shell : loaded;
  ProcessPlan process = TRY(plan_exec(options, spec));
  const auto root_fd = open_file(fmt::format("/proc/{}/root", record_.init.pid), O_PATH);
  if (root_fd) add_home(root_fd->get(), process.uid, process.env);
  SyncPair sync = TRY(make_sync_pair());
  ExecLaunch launch;
  TRY(hand_over_conversation(options.program, sync.child.get(), -1));
  launch.fds = {.sync = sync.child.get(), .stdio = options.stdio};
  const int flags = namespace_flags(spec);
  int joined_by_stage = flags & ~CLONE_NEWPID;
  UniqueFd user_namespace;
  if (geteuid() != 0 && (flags & CLONE_NEWUSER) != 0) {
    user_namespace = TRY(open_file(fmt::format("/proc/{}/ns/user", record_.init.pid), O_RDONLY));
    launch.options.user_namespace = user_namespace.get();
    launch.options.sync_fd = sync.child.get();
    joined_by_stage &= ~CLONE_NEWUSER;
    process.keep_groups = process.groups.empty();
  }
  // Where there is one id only, setgroups(2) is forbidden.
  if (has_one_id()) process.keep_groups = has_no_further_groups(process);
  launch.fds.joins.push_back({.fd = init.get(), .type = static_cast<uint32_t>(joined_by_stage)});
  launch.inherit = {sync.child.get(), init.get()};
  const oci::Namespace* mounts = spec.linux_config->find_namespace(oci::NamespaceType::kMount);
  // Its root is a chroot's, or covered: see Program::shown.
  if (mounts == nullptr || !mounts->path.empty() || record_.own_shell) {
    if (!root_fd) return std::unexpected(root_fd.error());
    launch.fds.root = root_fd->get();
    launch.inherit.push_back(launch.fds.root);
  }
  add_program_descriptors(process, options.stdio, launch.inherit);
  if ((flags & CLONE_NEWPID) != 0) launch.options.pid_namespace = init.get();
  std::optional<cgroup::Cgroup> cgroup;
  if (cgroup_) {
    cgroup = TRY_IN(cgroup_->subgroup(options.cgroup), "exec in cgroup \"{}\"", options.cgroup);
    TRY(prepare_cgroup(*cgroup, !process.initial_cpus.empty(), launch));
  } else if (!options.cgroup.empty()) {
    return fail(ErrorCode::kUnsupported, "container \"{}\" has no cgroup", id());
  }

  // The parent sets what the process itself may have no right to.
  const StagePlan plan{.process = &process,
                       .pause_before_exec = process.oom_score_adj.has_value(),
                       .await_cgroup = launch.await_cgroup};
  StageProcess child = TRY(launch_stage(encode(plan, launch.fds), launch.inherit, launch.options));
  sync.child.reset();
  Rollback rollback;
  rollback.add([&child]() -> Result<> {
    (void)send_signal(child.pidfd.get(), SIGKILL);
    (void)reap_child(child.pidfd.get());
    return {};
  });
  Started started{.pid = child.pid};
  const auto finish = [&]() -> Result<> {
    if (options.program != nullptr) {
      TRY(hand_over_conversation(options.program, options.program->file.get(), -1));
    }
    const auto on_listener = [&](UniqueFd listener) -> Result<> {
      if (!spec.linux_config->seccomp) return {};
      return send_listener(*spec.linux_config->seccomp, make_state(record_, now), child.pid,
                           listener.get());
    };
    if (launch.await_cgroup) {
      TRY_IN(cgroup->attach_process(child.pid), "join the cgroup");
      TRY(send_go(sync.parent.get()));
    }
    TRY(follow_exec(sync.parent.get(), plan, options, on_listener, started));
    if (!options.pid_file.empty()) {
      TRY(replace_file(AT_FDCWD, options.pid_file, fmt::format("{}", child.pid), 0644));
    }
    return send_pidfd(options.pidfd_socket, child.pidfd.get());
  };
  if (auto finished = finish(); !finished) {
    return std::unexpected(rollback.fail(std::move(finished).error()));
  }
  rollback.commit();
  started.pidfd = std::move(child.pidfd);
  return started;
}

}  // namespace trivet::container
