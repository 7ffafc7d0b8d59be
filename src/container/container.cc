#include "container/container.h"

#include <algorithm>
#include <cctype>
#include <signal.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/creation.h"
#include "container/hooks.h"
#include "container/launch.h"
#include "container/state_store.h"
#include "container/unix_socket.h"
#include "linux/mounted_root.h"
#include "linux/resctrl.h"

namespace trivet::container {

namespace {

std::unexpected<Error> no_cgroup(const std::string& id) {
  return std::unexpected(
      Error(ErrorCode::kUnsupported, fmt::format("container \"{}\" has no cgroup", id))
          .hint("containers of ordinary users have one on hosts with cgroup v2, where systemd or "
                "root has given them a part of the tree"));
}

constexpr size_t kMaxIdLength = 128;

// The process's id in the innermost of its pid namespaces (proc(5): NSpid).
std::optional<pid_t> innermost_pid(pid_t pid) {
  const auto status = read_file(fmt::format("/proc/{}/status", pid));
  if (!status) return std::nullopt;
  for (const std::string& line : split(*status, '\n')) {
    if (!line.starts_with("NSpid:")) continue;
    const auto parsed = parse_int(line.substr(line.find_last_of(" \t") + 1));
    if (parsed) return static_cast<pid_t>(*parsed);
  }
  return std::nullopt;
}

std::unexpected<Error> wrong_state(std::string_view what, const std::string& id, Status status) {
  return fail(ErrorCode::kWrongState, "cannot {} container \"{}\": it is {}", what, id,
              status_name(status));
}

}  // namespace

const char* status_name(Status status) {
  switch (status) {
    case Status::kCreating:
      return "creating";
    case Status::kCreated:
      return "created";
    case Status::kRunning:
      return "running";
    case Status::kPaused:
      return "paused";
    case Status::kStopped:
      return "stopped";
  }
  return "stopped";
}

Result<> check_id(std::string_view id) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '+' || c == '-' ||
           c == '.';
  };
  if (id.empty() || id.size() > kMaxIdLength || id.front() == '.' || id.front() == '-' ||
      !std::ranges::all_of(id, allowed)) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("invalid container ID \"{}\"", id))
            .hint("1 to 128 of A-Z a-z 0-9 _ + - . are allowed, not starting with '.' or '-'"));
  }
  return {};
}

oci::State make_state(const Container::Record& record, Status status) {
  oci::State state;
  state.id = record.id;
  state.status = status_name(status);
  state.pid = status == Status::kStopped ? 0 : record.init.pid;
  state.bundle = record.bundle;
  state.annotations = record.annotations;
  state.rootfs = record.rootfs;
  state.created = format_rfc3339(record.created);
  return state;
}

oci::State as_seen_inside(oci::State state) {
  state.pid = innermost_pid(state.pid).value_or(state.pid);
  return state;
}

int namespace_flags(const oci::Spec& spec) {
  uint32_t flags = 0;
  for (const oci::Namespace& entry : spec.linux_config->namespaces) flags |= clone_flag(entry.type);
  return static_cast<int>(flags);
}

void add_home(int root_fd, uint32_t uid, std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    if (entry.starts_with("HOME=")) return;
  }
  std::string home = "/";
  if (const auto fd = open_in_root(root_fd, "/etc/passwd", O_RDONLY | O_NONBLOCK)) {
    constexpr size_t kPasswdLimit = 1 << 20;
    const std::string text = read_fd(fd->get(), "/etc/passwd", kPasswdLimit).value_or("");
    for (const std::string& line : split(text, '\n')) {
      const std::vector<std::string> fields = split(line, ':');
      if (fields.size() < 7 || fields[2] != fmt::format("{}", uid)) continue;
      if (!fields[5].empty()) home = fields[5];
      break;
    }
  }
  env.push_back("HOME=" + home);
}

Container::Container(std::string state_directory, Record record)
    : state_directory_(std::move(state_directory)), record_(std::move(record)) {
  if (record_.cgroup_paths) cgroup_ = cgroup::Cgroup::attach(*record_.cgroup_paths);
}

Result<Container> Container::create(const oci::Spec& spec, const CreateOptions& options) {
  return Creation(spec, options).run();
}

Result<std::string> Container::print_plan(const oci::Spec& spec, const CreateOptions& options) {
  return Creation(spec, options).dry_run();
}

Result<Container> Container::load(const std::string& state_root, const std::string& id) {
  TRY(check_id(id));
  const std::string directory = state_root + "/" + id;
  auto record = read_record(directory);
  if (!record) {
    if (record.error().errnum() == ENOENT || record.error().errnum() == ENOTDIR) {
      return fail(ErrorCode::kNotFound, "container \"{}\" does not exist", id);
    }
    return std::unexpected(std::move(record).error().in(fmt::format("container \"{}\"", id)));
  }
  return Container(directory, std::move(*record));
}

Result<std::vector<std::string>> Container::list(const std::string& state_root) {
  auto names = list_dir(AT_FDCWD, state_root);
  if (!names && names.error().errnum() == ENOENT) return std::vector<std::string>{};
  if (!names) return names;
  std::erase_if(*names, [](const std::string& name) { return !check_id(name); });
  return names;
}

Result<> Container::force_remove(const std::string& state_root, const std::string& id) {
  TRY(check_id(id));
  if (auto container = load(state_root, id)) return container->remove(Force::kYes);
  const std::string directory = state_root + "/" + id;
  if (const auto text = read_file(directory + "/config.json")) {
    const auto spec = oci::parse_spec(*text);
    const auto layout = cgroup::Layout::detect();
    if (spec && spec->linux_config && layout) {
      cgroup::Cgroup::remove_unused(*layout, spec->linux_config->cgroups_path, id);
    }
  }
  return remove_tree(AT_FDCWD, directory);
}

Result<oci::Spec> Container::load_spec() const {
  const std::string text = TRY(read_file(state_directory_ + "/config.json"));
  return oci::parse_spec(text);
}

Result<oci::Spec> Container::load_shell() const {
  if (!record_.own_shell) return load_spec();
  const std::string text = TRY(read_file(state_directory_ + "/shell.json"));
  return oci::parse_spec(text);
}

Status Container::status() const {
  if (!is_alive(record_.init)) {
    return record_.init.pid == 0 ? Status::kCreating : Status::kStopped;
  }
  if (start_socket_ || connect_to_start(state_directory_)) return Status::kCreated;
  if (cgroup_ && cgroup_->is_frozen().value_or(false)) return Status::kPaused;
  return Status::kRunning;
}

oci::State Container::state() const {
  return make_state(record_, status());
}

Result<cgroup::Stats> Container::stats() const {
  if (!cgroup_) return no_cgroup(id());
  return cgroup_->stats();
}

Result<> Container::start(Timing* timing) {
  if (!start_socket_) {
    const Status now = status();
    if (now != Status::kCreated) {
      return fail(ErrorCode::kWrongState, "it is {}", status_name(now));
    }
    start_socket_ = TRY(connect_to_start(state_directory_));
  }
  const UniqueFd conversation = std::move(start_socket_);
  // Only now is it required (runtime-spec: config.md, process). Like any start that fails this one
  // ends the container.
  if (!record_.has_process) {
    TRY(kill(SIGKILL));
    return std::unexpected(
        abandon_start(Error(ErrorCode::kInvalidArgument, "config.json: \"process\" is missing")));
  }
  oci::Spec spec;
  if (record_.has_hooks) {
    spec = TRY(load_shell());
    const UniqueFd pidfd = TRY(open_pidfd(record_.init));
    const std::string state =
        oci::print_state_line(as_seen_inside(make_state(record_, Status::kCreated)));
    if (auto ran = run_hooks("startContainer", spec.hooks.start_container, state, pidfd.get(),
                             namespace_flags(spec));
        !ran) {
      return std::unexpected(destroy_after(std::move(ran).error()));
    }
  }
  TRY(send_go(conversation.get()));
  TRY(follow_start(conversation.get(), timing));
  if (!record_.has_hooks) return {};
  const std::string state = oci::print_state_line(make_state(record_, Status::kRunning));
  auto ran = run_hooks("poststart", spec.hooks.poststart, state);
  if (!ran) return std::unexpected(destroy_after(std::move(ran).error()));
  return {};
}

// runtime-spec, runtime.md, "Lifecycle": the container is stopped, and step 12 is next.
Error Container::destroy_after(Error cause) {
  if (auto removed = remove(Force::kYes); !removed) {
    return std::move(cause).note(removed.error());
  }
  return cause;
}

// What the stage says until it has become the program.
Result<> Container::follow_start(int conversation, Timing* timing) const {
  for (;;) {
    UniqueFd received;
    const auto message = TRY(receive_message(conversation, &received));
    if (!message) break;
    if (message->kind == stage::MessageKind::kListener) {
      const oci::Spec spec = TRY(load_spec());
      const oci::Seccomp& seccomp = *spec.linux_config->seccomp;
      const oci::State state = make_state(record_, Status::kCreating);
      TRY(send_listener(seccomp, state, record_.init.pid, received.get()));
      TRY(send_go(conversation));
    } else if (message->kind == stage::MessageKind::kStepDone) {
      if (timing != nullptr) timing->push_back(step_time(*message));
    } else if (message->kind == stage::MessageKind::kPayloadFailed) {
      ::unlink((state_directory_ + "/start.sock").c_str());
      return std::unexpected(abandon_start(read_payload_failure(received)));
    } else {
      ::unlink((state_directory_ + "/start.sock").c_str());
      ProcessPlan process;
      process.args = { program_.empty() ? TRY(load_spec()).process->args.front() : program_ };
      return std::unexpected(
          abandon_start(describe_failure(*message, StagePlan{.process = &process})));
    }
  }
  ::unlink((state_directory_ + "/start.sock").c_str());
  return {};
}

Error Container::abandon_start(Error cause) const {
  if (!cgroup_) return cause;
  if (auto removed = cgroup_->remove(); !removed) return std::move(cause).note(removed.error());
  return cause;
}

Result<> Container::kill(int signal) {
  const auto not_running = [&] {
    return fail(ErrorCode::kWrongState, "container not running: \"{}\"", id());
  };
  const auto pidfd = open_pidfd(record_.init);
  if (!pidfd) return not_running();
  auto sent = send_signal(pidfd->get(), signal);
  if (!sent && sent.error().code() == ErrorCode::kNotFound) return not_running();
  // A frozen cgroup v1 keeps even SIGKILL waiting.
  if (sent && signal == SIGKILL && cgroup_ && cgroup_->paths().mode != cgroup::Mode::kV2) {
    if (cgroup_->is_frozen().value_or(false)) TRY(cgroup_->thaw());
  }
  return sent;
}

Result<> Container::kill_all(int signal) {
  // Beside the init of another payload's shell there is nothing of the container's there.
  if (!cgroup_ || (record_.own_shell && signal != SIGKILL)) return kill(signal);
  return cgroup_->kill_all(signal);
}

Result<> Container::pause() {
  if (!cgroup_) return no_cgroup(id());
  const Status now = status();
  if (now != Status::kRunning && now != Status::kCreated) return wrong_state("pause", id(), now);
  return cgroup_->freeze();
}

Result<> Container::resume() {
  const Status now = status();
  if (now != Status::kPaused) return wrong_state("resume", id(), now);
  return cgroup_->thaw();
}

Result<> Container::update(const oci::Resources& resources) {
  if (!cgroup_) return no_cgroup(id());
  if (status() == Status::kStopped) return wrong_state("update", id(), Status::kStopped);
  auto applied = cgroup_->apply(resources);
  // A limit may have brought a further hierarchy in, which exec() then has to join.
  if (cgroup_->paths().directories == record_.cgroup_paths->directories) return applied;
  record_.cgroup_paths = cgroup_->paths();
  const auto noted = write_record(state_directory_, record_);
  return applied ? noted : applied;
}

Result<> Container::update_rdt(const std::string& l3_cache_schema,
                               const std::string& mem_bw_schema) {
  const std::string mount_point = TRY(resctrl::find_mount_point());
  if (status() == Status::kStopped) return wrong_state("update", id(), Status::kStopped);
  const oci::Spec spec = TRY(load_spec());
  oci::IntelRdt config = spec.linux_config->intel_rdt.value_or(oci::IntelRdt{});
  config.schemata.clear();
  config.l3_cache_schema = l3_cache_schema;
  config.mem_bw_schema = mem_bw_schema;
  if (spec.linux_config->intel_rdt || !record_.resctrl_groups.empty()) {
    return resctrl::update_schemata(mount_point, config, id());
  }
  const resctrl::Groups groups = TRY(resctrl::make_groups(mount_point, config, id()));
  record_.resctrl_groups = groups.owned;
  TRY(write_record(state_directory_, record_));
  for (const pid_t pid : TRY(processes())) TRY(resctrl::add_process(groups, pid));
  return {};
}

Result<std::vector<pid_t>> Container::processes() const {
  if (cgroup_) return cgroup_->processes();
  return std::vector<pid_t>{record_.init.pid};
}

Result<> Container::remove(Force force) {
  if (state_directory_.empty()) return {};
  const Status now = status();
  const bool lives = now == Status::kRunning || now == Status::kPaused;
  if (lives && force == Force::kNo) {
    return fail(ErrorCode::kWrongState, "cannot delete container \"{}\" that is not stopped: {}",
                id(), status_name(now));
  }
  start_socket_.reset();
  if (now != Status::kStopped && now != Status::kCreating) {
    if (auto killed = kill(SIGKILL); !killed && killed.error().code() != ErrorCode::kWrongState) {
      return killed;
    }
    if (const auto pidfd = open_pidfd(record_.init)) {
      constexpr std::chrono::seconds kPatience{10};
      if (!TRY(wait_pidfd(pidfd->get(), kPatience))) {
        return fail(ErrorCode::kTimeout, "container \"{}\" does not end after SIGKILL", id());
      }
    }
  }
  if (init_pidfd_) (void)reap_child(init_pidfd_.get());
  if (cgroup_) TRY_IN(cgroup_->remove(), "delete container \"{}\"", id());
  TRY_IN(resctrl::remove_groups(record_.resctrl_groups), "delete container \"{}\"", id());
  if (record_.root_mount != 0) TRY(detach_root(record_.rootfs, record_.root_mount));
  if (record_.has_hooks) {
    const oci::Spec spec = TRY(load_spec());
    const std::string state = oci::print_state_line(make_state(record_, Status::kStopped));
    run_poststop_hooks(spec.hooks.poststop, state, warn_);
  }
  TRY(remove_tree(AT_FDCWD, state_directory_));
  state_directory_.clear();
  return {};
}

}  // namespace trivet::container
