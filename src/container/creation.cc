#include "container/creation.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "base/user_root.h"
#include "container/hooks.h"
#include "container/mount_source.h"
#include "container/overlay_view.h"
#include "container/state_store.h"
#include "container/unix_socket.h"
#include "linux/id_map.h"
#include "linux/mounted_root.h"
#include "linux/net_device.h"
#include "linux/resctrl.h"
#include <linux/sched.h>

namespace trivet::container {

namespace {

// Ends a child for good: also one whose cgroup is frozen dies once that is thawed.
Result<> kill_and_reap(int pidfd) {
  if (auto sent = send_signal(pidfd, SIGKILL);
      !sent && sent.error().code() != ErrorCode::kNotFound) {
    return sent;
  }
  const auto reaped = reap_child(pidfd);
  if (!reaped) return std::unexpected(reaped.error());
  return {};
}

std::string absolute_rootfs(const oci::Spec& spec, const CreateOptions& options) {
  if (options.overlay) {
    const OverlayRoot& overlay = *options.overlay;
    const bool writable = !overlay.upper_directory.empty();
    return writable ? overlay.upper_directory : overlay.lower_directories.front();
  }
  const std::string& path = spec.root->path;
  return path.starts_with('/') ? path : options.bundle + "/" + path;
}

}  // namespace

Result<Container> Creation::run() {
  if (auto done = steps(); !done) {
    Error error = rollback_.fail(std::move(done).error());
    if (hooks_begun_) {
      run_poststop_hooks(spec_.hooks.poststop,
                         oci::print_state_line(make_state(record_, Status::kStopped)),
                         options_.on_warning);
    }
    return std::unexpected(std::move(error));
  }
  rollback_.commit();
  Container container(directory_, record_);
  container.init_pidfd_ = std::move(init_.pidfd);
  container.console_ = std::move(console_);
  container.start_socket_ = std::move(sync_.parent);
  if (spec_.process) container.program_ = spec_.process->args.front();
  return container;
}

Result<> Creation::steps() {
  constexpr auto kSteps = std::to_array<NamedStep>({
      {"check the configuration", &Creation::check},
      {"claim the id", &Creation::claim},
      {"make the cgroup", &Creation::make_cgroup},
      {"plan", &Creation::make_plans},
      {"mount the root", &Creation::mount_root_here},
      {"clone the init", &Creation::launch},
      {"join the resctrl groups", &Creation::join_resctrl},
      {"write the id maps", &Creation::write_id_maps},
      {"start the scope", &Creation::start_scope},
      {"apply the limits", &Creation::limit},
      {"wait for the init", &Creation::follow},
      {"publish the state", &Creation::publish},
  });
  constexpr auto kRestoreSteps = std::to_array<NamedStep>({
      {"check the configuration", &Creation::check},
      {"claim the id", &Creation::claim},
      {"make the cgroup", &Creation::make_cgroup},
      {"plan", &Creation::make_plans},
      {"restore the init", &Creation::restore_init},
      {"publish the state", &Creation::publish},
  });
  return image_ == nullptr ? run_steps(kSteps) : run_steps(kRestoreSteps);
}

Result<> Creation::run_steps(std::span<const NamedStep> steps) {
  using Clock = std::chrono::steady_clock;
  for (const NamedStep& step : steps) {
    const Clock::time_point begin = options_.timing != nullptr ? Clock::now() : Clock::time_point{};
    TRY((this->*step.run)());
    if (options_.timing == nullptr) continue;
    const auto spent = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
    options_.timing->push_back({.where = StepTime::Where::kRuntime,
                                .step = step.name,
                                .microseconds = static_cast<uint64_t>(spent.count())});
  }
  return {};
}

Result<> Creation::check() {
  TRY(check_id(options_.id));
  return check_supported(spec_);
}

Result<std::string> Creation::dry_run() {
  TRY(check());
  TRY(make_plans());
  return print_plan(namespaces_, root_, process_);
}

Result<> Creation::make_file(const char* name, std::string_view content) const {
  const UniqueFd fd =
      TRY(open_file(fmt::format("{}/{}", directory_, name), O_WRONLY | O_CREAT | O_EXCL, 0600));
  return write_all(fd.get(), content, name);
}

Result<> Creation::claim() {
  directory_ = TRY(claim_directory(options_.state_root, options_.id, options_.max_containers));
  rollback_.add([this] { return remove_tree(AT_FDCWD, directory_); });
  record_.id = options_.id;
  record_.bundle = options_.bundle;
  record_.rootfs = absolute_rootfs(spec_, options_);
  record_.created = std::chrono::system_clock::now();
  record_.annotations = spec_.annotations;
  record_.has_hooks = !spec_.hooks.empty();
  record_.has_process = spec_.process.has_value();
  record_.cgroup_driver = options_.cgroup_driver;
  const std::string config =
      options_.config_json.empty() ? oci::print_spec(spec_) : std::string(options_.config_json);
  record_.own_shell = options_.program != nullptr && options_.program->conversation.has_value();
  if (record_.own_shell) {
    record_.rootfs = absolute_rootfs(TRY(oci::parse_spec(config)), options_);
    TRY(make_file("shell.json", oci::print_spec(spec_)));
  }
  return make_file("config.json", config);
}

Result<> Creation::make_plans() {
  namespaces_ = TRY(plan_namespaces(spec_));
  RootInputs inputs{.bundle = options_.bundle,
                    .overlay = options_.overlay,
                    .overlay_mount_point = directory_ + "/rootfs",
                    .no_pivot = options_.no_pivot,
                    .cgroup = cgroup_ ? &cgroup_->paths() : nullptr,
                    .in_user_namespace = in_user_namespace(),
                    .program = options_.program};
  if (options_.overlay) {
    TRY(allow_again(*options_.overlay));
    if (mkdir(inputs.overlay_mount_point.c_str(), 0700) != 0) {
      return fail_errno("mkdir \"{}\"", inputs.overlay_mount_point);
    }
  }
  root_ = TRY(plan_root(spec_, inputs));
  std::vector<std::string> warnings;
  if (!spec_.linux_config->mount_label.empty() && !has_selinux()) {
    warnings.emplace_back("linux.mountLabel has no effect: SELinux is not enabled on this host");
  }
  const oci::Process process = spec_.process.value_or(oci::Process{.cwd = "/"});
  process_ = TRY(plan_process(process, powers_in(*spec_.linux_config), warnings));
  if (options_.on_warning) {
    for (const std::string& warning : warnings) options_.on_warning(warning);
  }
  process_.new_keyring = !options_.no_new_keyring;
  process_.preserve_fds = static_cast<uint32_t>(options_.preserve_fds);
  plan_program(options_.program, process_);
  // Where there is one id only, setgroups(2) is forbidden.
  const bool forbidden =
      namespaces_.user ? geteuid() != 0 && maps_one_id(namespaces_.gid_map) : has_one_id();
  process_.keep_groups = forbidden && has_no_further_groups(process_);
  TRY(plan_linux_process(*spec_.linux_config, process_));
  if (options_.seccomp_program != nullptr) {
    use_seccomp(*options_.seccomp_program, process_);
  } else if (spec_.linux_config->seccomp) {
    TRY(plan_seccomp(*spec_.linux_config->seccomp, options_.seccomp_cache, process_));
  }
  if (!options_.overlay) {
    if (const auto root_fd = open_file(record_.rootfs, O_PATH | O_DIRECTORY)) {
      add_home(root_fd->get(), process_.uid, process_.env);
    }
  }
  return {};
}

// Root of a new user namespace need not be able to reach the sources; the init of an ordinary user
// can reach what its caller can. Parts of a source are found here, where symlinks can be held in.
Result<> Creation::open_mount_sources(std::vector<MountPlan>& mounts, std::vector<int>& inherit) {
  const bool reaches_less = namespaces_.user && geteuid() == 0;
  for (MountPlan& mount : mounts) {
    const bool is_bind = mount.kind == stage::MountKind::kBind;
    const bool is_part = is_bind && !mount.options.sub_path.empty();
    if (!mount.id_map && !is_part && !(reaches_less && is_bind)) continue;
    auto source = open_mount_source(mount);
    if (!source && source.error().errnum() == ENOENT && mount.options.optional) continue;
    if (!source) {
      return std::unexpected(std::move(source).error().in(
          fmt::format("mount \"{}\" on \"{}\"", mount.source, mount.target)));
    }
    mount_sources_.push_back(std::move(*source));
    mount.source_fd = mount_sources_.back().get();
    inherit.push_back(mount.source_fd);
  }
  return {};
}

// A container that inherits the runtime's mount namespace has its mounts there, below its root. The
// record knows of that mount before it is visible, so that whatever happens it will be taken away.
Result<> Creation::mount_root_here() {
  if (spec_.linux_config->find_namespace(oci::NamespaceType::kMount) != nullptr) return {};
  DetachedRoot root = TRY_IN(clone_root(record_.rootfs), "root.path");
  record_.root_mount = root.id;
  TRY(write_record(directory_, record_));
  rollback_.add([this] { return detach_root(record_.rootfs, record_.root_mount); });
  TRY(attach_root(root, record_.rootfs));
  mounted_root_ = std::move(root.fd);
  return {};
}

// Those that exist already; the clone makes the others.
Result<> Creation::open_namespaces(Launch& launch) {
  for (const auto& [path, flag] : namespaces_.joins) {
    namespace_fds_.push_back(TRY_IN(open_file(path, O_RDONLY), "linux.namespaces"));
    if (flag == CLONE_NEWUSER) {
      launch.options.user_namespace = namespace_fds_.back().get();
      continue;
    }
    const stage::JoinOp join{.fd = namespace_fds_.back().get(), .type = flag};
    if (namespaces_.user) {
      launch.options.joined_before.push_back(join);
    } else {
      launch.join(join);
    }
  }
  if (options_.network_namespace >= 0 && namespaces_.new_network && !namespaces_.user) {
    launch.options.clone_flags &= ~uint64_t{CLONE_NEWNET};
    launch.join({.fd = options_.network_namespace, .type = CLONE_NEWNET});
  }
  if (namespaces_.pid_path.empty()) return {};
  pid_namespace_ = TRY_IN(open_file(namespaces_.pid_path, O_RDONLY), "linux.namespaces");
  launch.options.pid_namespace = pid_namespace_.get();
  return {};
}

Result<> Creation::launch() {
  sync_ = TRY(make_sync_pair());
  UniqueFd listener;
  if (options_.start_by == CreateOptions::StartBy::kAnyone) {
    listener = TRY(listen_for_start(directory_));
  }
  TRY(hand_over_conversation(options_.program, sync_.child.get(), listener.get()));
  Launch launch{.fds = {.sync = sync_.child.get(),
                        .listener = listener.get(),
                        .root = mounted_root_.get(),
                        .stdio = options_.stdio},
                .inherit = {sync_.child.get(), listener.get(), mounted_root_.get()},
                .options = {.clone_flags = namespaces_.clone_flags,
                            .new_user_namespace = namespaces_.user,
                            .sync_fd = sync_.child.get(),
                            .parent_sync_fd = sync_.parent.get(),
                            .directory = root_.root.target,
                            .block_signals = options_.signals_at_start ==
                                             CreateOptions::SignalsAtStart::kBlocked}};
  add_program_descriptors(process_, launch.fds.stdio, launch.inherit);
  TRY(open_mount_sources(root_.mounts, launch.inherit));
  TRY(open_mount_sources(root_.shown, launch.inherit));
  TRY(open_namespaces(launch));
  TRY(open_cgroup(launch));
  stage_plan_ = {.namespaces = &namespaces_,
                 .root = &root_,
                 .process = &process_,
                 .pause_before_pivot = !spec_.hooks.prestart.empty() ||
                                       !spec_.hooks.create_runtime.empty() ||
                                       !spec_.hooks.create_container.empty(),
                 .pause_before_exec = true,
                 .report_namespaces = static_cast<bool>(options_.on_namespaces) ||
                                      !spec_.linux_config->net_devices.empty(),
                 .starts_in_root = namespaces_.user,
                 .report_times = options_.timing != nullptr};
  stage_plan_.await_cgroup = cgroup_ && cgroup_->is_scope();
  init_ = TRY(launch_stage(encode(stage_plan_, launch.fds), launch.inherit, launch.options));
  rollback_.add([this] { return kill_and_reap(init_.pidfd.get()); });
  sync_.child.reset();
  if (options_.program != nullptr) {
    const int nothing = options_.program->file.get();
    TRY(hand_over_conversation(options_.program, nothing, nothing));
  }
  mount_sources_.clear();
  return {};
}

Result<> Creation::join_resctrl() {
  if (!spec_.linux_config->intel_rdt) return {};
  const std::string mount_point = TRY(resctrl::find_mount_point());
  const resctrl::Groups groups =
      TRY(resctrl::make_groups(mount_point, *spec_.linux_config->intel_rdt, options_.id));
  record_.resctrl_groups = groups.owned;
  rollback_.add([this] { return resctrl::remove_groups(record_.resctrl_groups); });
  return resctrl::add_process(groups, init_.pid);
}

// One of the steps, which are not const.
Result<> Creation::write_id_maps() {  // NOLINT(readability-make-member-function-const)
  if (!namespaces_.user) return {};
  TRY(trivet::write_id_maps(init_.pid, namespaces_.uid_map, namespaces_.gid_map));
  return send_go(sync_.parent.get());
}

Result<> Creation::limit() {
  if (cgroup_ && spec_.linux_config->resources) {
    TRY(cgroup_->apply_limits(*spec_.linux_config->resources));
    record_.cgroup_paths = cgroup_->paths();  // which a limit on a scope may have added to
  }
  if (const auto owner = find_cgroup_owner(spec_); owner && cgroup_ && geteuid() == 0) {
    TRY_IN(cgroup_->delegate_to(*owner), "delegate the cgroup");
  }
  if (process_.oom_score_adj) {
    TRY_IN(write_existing(AT_FDCWD, fmt::format("/proc/{}/oom_score_adj", init_.pid),
                          fmt::format("{}", *process_.oom_score_adj)),
           "process.oomScoreAdj");
  }
  record_.init = TRY(identify_process(init_.pid));
  return write_record(directory_, record_);
}

Result<> Creation::follow() {
  while (!ready_) {
    UniqueFd received;
    const auto message = TRY(receive_message(sync_.parent.get(), &received));
    if (!message) return std::unexpected(init_died());
    TRY(handle(*message, std::move(received)));
  }
  return {};
}

Result<> Creation::set_up_network() {
  TRY(move_net_devices(spec_.linux_config->net_devices, init_.pid));
  if (!options_.on_namespaces) return {};
  return options_.on_namespaces(init_.pid);
}

Result<> Creation::handle(const stage::Message& message, UniqueFd received) {
  switch (message.kind) {
    case stage::MessageKind::kError:
      return std::unexpected(describe_failure(message, stage_plan_));
    case stage::MessageKind::kNamespaces:
      return set_up_network();
    case stage::MessageKind::kConsole:
      return deliver_console(std::move(received));
    case stage::MessageKind::kBeforePivot:
      TRY(restrict_devices());
      return run_create_hooks();
    case stage::MessageKind::kReady:
      return note_ready();
    case stage::MessageKind::kPayloadFailed:
      return std::unexpected(read_payload_failure(received));
    case stage::MessageKind::kStepDone:
      options_.timing->push_back(step_time(message));
      return {};
    case stage::MessageKind::kListener:
    case stage::MessageKind::kGo:
    case stage::MessageKind::kKeep:
      break;
  }
  return fail(ErrorCode::kCorrupt, "the container's init sent an unknown message");
}

// The stage is ready, or behind it the program that it was made for.
Result<> Creation::note_ready() {
  TRY(restrict_devices());
  if (options_.program == nullptr || !options_.program->conversation || program_begun_) {
    ready_ = true;
    return {};
  }
  program_begun_ = true;
  return send_go(sync_.parent.get());
}

StepTime step_time(const stage::Message& message) {
  return {.where = StepTime::Where::kInit,
          .step = std::string(step_phrase(message.step)),
          .microseconds = message.operand};
}

Error Creation::init_died() const {
  const auto code = reap_child(init_.pidfd.get());
  const bool killed = code && *code == 128 + SIGKILL;
  Error error(ErrorCode::kSystem, fmt::format("the container's init ended before it was ready ({})",
                                              !code         ? std::string("status unknown")
                                              : *code > 128 ? signal_name(*code - 128)
                                                            : fmt::format("exit code {}", *code)));
  if (killed)
    error = std::move(error).hint("a memory limit that is too low for the start-up does this");
  return error;
}

// The environment is there by now, which makes the status "created" for them (runtime-spec:
// runtime.md, "State" and "Lifecycle": "creating" is step 2, the hooks are steps 3 to 5).
Result<> Creation::run_create_hooks() {
  hooks_begun_ = true;
  const oci::State state = make_state(record_, Status::kCreated);
  const std::string outside = oci::print_state_line(state);
  TRY(run_hooks("prestart", spec_.hooks.prestart, outside));
  TRY(run_hooks("createRuntime", spec_.hooks.create_runtime, outside));
  TRY(run_hooks("createContainer", spec_.hooks.create_container,
                oci::print_state_line(as_seen_inside(state)), init_.pidfd.get(),
                namespace_flags(spec_)));
  return send_go(sync_.parent.get());
}

Result<> Creation::deliver_console(UniqueFd master) {
  if (!master) return fail(ErrorCode::kCorrupt, "the container's init sent no terminal");
  if (!options_.console_socket.empty()) return send_console(options_.console_socket, master.get());
  console_ = std::move(master);
  return {};
}

// From "keep" on the container outlives this process. Were we killed before, it would go by itself,
// and what it leaves (a directory, empty cgroups) force_remove() finds by the configuration.
Result<> Creation::publish() {
  if (!options_.pid_file.empty()) {
    TRY(replace_file(AT_FDCWD, options_.pid_file, fmt::format("{}", init_.pid), 0644));
  }
  TRY(send_pidfd(options_.pidfd_socket, init_.pidfd.get()));
  // A restored one runs already.
  if (options_.start_by == CreateOptions::StartBy::kCreator || image_ != nullptr) return {};
  return send_keep(sync_.parent.get());
}

}  // namespace trivet::container
