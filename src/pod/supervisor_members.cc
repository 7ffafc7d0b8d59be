// The containers of a pod: start, probes and hooks, restarts, ends.
#include <algorithm>
#include <fcntl.h>

#include "base/fs.h"
#include "monitor/record.h"
#include "payload/prepare.h"
#include "pod/supervisor.h"

namespace trivet::pod {

namespace {

// A hook has the time that the container has to stop, or to start.
constexpr std::chrono::milliseconds kHookTimeout = std::chrono::minutes(5);

void take_numbers(const ContainerNumbers& counted, ContainerNumbers& numbers) {
  numbers.cpu_usage_ns = counted.cpu_usage_ns;
  numbers.memory_usage = counted.memory_usage;
  numbers.memory_limit = counted.memory_limit;
  numbers.pids = counted.pids;
}

}  // namespace

Result<> Supervisor::create_member(const PodContainer& plan) {
  TRY(journal_.note(Step::kCreate, plan.name));
  Member& member = members_.emplace_back(Member{
      .plan = &plan,
      .monitor = nullptr,
      .target = {.loop = loop_, .network_namespace = network_namespace_.get(), .exec = nullptr}});
  member.target.paused = [&member] {
    return member.monitor && member.monitor->status().phase == monitor::Phase::kPaused;
  };
  member.target.exec = [this, &member](const std::vector<std::string>& command, int out, int err) {
    return exec_in(member, command, out, err);
  };
  const bool has_machine = TRY(has_own_machine(plan));
  // passt looks at it when it starts.
  if (has_machine) TRY(finish_network());
  if (machine_ || has_machine) {
    member.target.connect = [this, &member](const std::string& host, uint16_t port) {
      return connect_for(member, host, port);
    };
  }
  member.monitor = std::make_unique<monitor::Monitor>(
      monitor::MonitorOptions{
          .directories = paths_.directories,
          .id = plan.id,
          // A machine's other namespaces are its kernel's own.
          .joined = has_machine ? std::vector{joined_network()} : joined_namespaces(),
          .seat = machine_ ? machine_->seat(members_.size() - 1) : nullptr,
          .on_ended = [this, &member] { member_ended(member); },
          .on_restarted = [this, &member] { member_runs(member); },
          .on_exit = [this, &member](int code) { member_exited(member, code); }},
      loop_);
  TRY(member.monitor->prepare());
  return member.monitor->create();
}

Result<> Supervisor::start_member(Member& member) {
  TRY(journal_.note(Step::kStart, member.plan->name));
  TRY(member.monitor->start());
  member_runs(member);
  return {};
}

// After a start, the first or a later one.
void Supervisor::member_runs(Member& member) {
  member.running = true;
  send({.kind = Event::Kind::kStarted, .container = member.plan->name});
  if (!member.plan->post_start) return watch_startup(member);
  auto hook = start_action(*member.plan->post_start, kHookTimeout, member.target,
                           [this, &member](Result<> outcome) {
                             if (outcome) return watch_startup(member);
                             member_fails(member, std::move(outcome).error().in("postStart hook"));
                           });
  if (!hook) return member_fails(member, std::move(hook).error().in("postStart hook"));
  member.hook = std::move(*hook);
}

void Supervisor::watch_startup(Member& member) {
  if (!member.plan->startup) return member_started(member);
  member.startup = std::make_unique<ProbeLoop>(
      *member.plan->startup, member.target, ProbeLoop::Repeat::kUntilGood,
      [this, &member](ProbeLoop::State state, const std::string& message) {
        if (state == ProbeLoop::State::kGood) return member_started(member);
        member.message = message;
        member_fails(member, Error(ErrorCode::kTimeout, "startup probe: " + message),
                     member.plan->startup->grace_ms);
      });
}

void Supervisor::member_started(Member& member) {
  member.started = true;
  watch_liveness(member);
  if (member.plan->readiness) {
    watch_readiness(member);
  } else {
    set_ready(member, true);
  }
  if (committed_) save_status();
}

void Supervisor::watch_liveness(Member& member) {
  if (!member.plan->liveness) return;
  member.liveness = std::make_unique<ProbeLoop>(
      *member.plan->liveness, member.target, ProbeLoop::Repeat::kForever,
      [this, &member](ProbeLoop::State state, const std::string& message) {
        if (state != ProbeLoop::State::kBad) return;
        member.message = message;
        member_fails(member, Error(ErrorCode::kTimeout, "liveness probe: " + message),
                     member.plan->liveness->grace_ms);
      });
}

void Supervisor::watch_readiness(Member& member) {
  member.readiness = std::make_unique<ProbeLoop>(
      *member.plan->readiness, member.target, ProbeLoop::Repeat::kForever,
      [this, &member](ProbeLoop::State state, const std::string& message) {
        member.message = message;
        set_ready(member, state == ProbeLoop::State::kGood);
      });
}

void Supervisor::set_ready(Member& member, bool ready) {
  if (ready == member.ready) return;
  member.ready = ready;
  if (ready) member.message.clear();
  send({.kind = ready ? Event::Kind::kHealthy : Event::Kind::kUnhealthy,
        .container = member.plan->name});
  if (committed_) save_status();
}

// A hook or a probe says that it can't go on like this: it ends, and its restart policy applies.
void Supervisor::member_fails(Member& member, const Error& error, std::optional<int64_t> grace_ms) {
  if (member.stopping) return;
  if (!committed_) {
    return fail(Error(error).in(fmt::format("container \"{}\"", member.plan->name)));
  }
  set_ready(member, false);
  member.message = error.message();
  const std::chrono::milliseconds grace(grace_ms.value_or(record_.grace_ms));
  (void)member.monitor->end_for_restart(grace);
}

void Supervisor::stop_watching(Member& member) {
  member.startup.reset();
  member.liveness.reset();
  member.readiness.reset();
  member.running = member.started = false;
}

// It will be started again: a failure only while the pod is being started.
void Supervisor::member_exited(Member& member, int code) {
  stop_watching(member);
  set_ready(member, false);
  send({.kind = Event::Kind::kExited, .container = member.plan->name, .exit_code = code});
  if (!committed_ && code != 0) fail(ended_early(member, code));
}

void Supervisor::member_ended(Member& member) {
  const int code = member.monitor->status().exit_code;
  stop_watching(member);
  member.ended = true;
  set_ready(member, false);
  send({.kind = Event::Kind::kExited, .container = member.plan->name, .exit_code = code});
  if (!committed_ && code != 0) fail(ended_early(member, code));
  // Not from inside of the monitor, which is at work yet.
  loop_.set_timer(
      Timer::kEnded, std::chrono::milliseconds(0),
      [this, &member] {
        member.hook.reset();
        member.monitor->leave();
        if (!committed_) return;
        save_status();
        stop_next();
      },
      &member);
}

Error Supervisor::ended_early(const Member& member, int code) {
  const std::string why = member.monitor->status().error;
  return Error(ErrorCode::kWrongState,
               fmt::format("{}container \"{}\" ended with exit code {}{}{}",
                           member.plan->role == Role::kInit ? "init " : "", member.plan->name, code,
                           why.empty() ? "" : ": ", why));
}

Result<container::Started> Supervisor::exec_in(Member& member,
                                               const std::vector<std::string>& command,
                                               int stdout_fd, int stderr_fd) const {
  const container::Container* engine = member.monitor->container();
  if (engine == nullptr) {
    return trivet::fail(ErrorCode::kWrongState, "container \"{}\" is not running",
                        member.plan->name);
  }
  const UniqueFd null = TRY(open_file("/dev/null", O_RDONLY));
  container::ExecOptions options {
    .process = TRY(engine->load_spec())
    .process.value(),
        .stdio = {.stdin_fd = null.get(), .stdout_fd = stdout_fd, .stderr_fd = stderr_fd},
        .seccomp_cache = paths_.directories.data + "/seccomp"
  };
  options.process.args = command;
  options.process.terminal = false;
  options.process.console_size.reset();
  const auto payload =
      TRY(payload::prepare_exec(*engine, options.process, paths_.directories.data + "/wasm", ""));
  if (payload) {
    options.process = payload->process;
    options.program = &payload->program;
  }
  return engine->exec(options);
}

std::vector<ContainerNumbers> Supervisor::numbers() const {
  std::vector<ContainerNumbers> list;
  for (const Member& member : members_) {
    ContainerNumbers& numbers =
        list.emplace_back(ContainerNumbers{.name = member.plan->name,
                                           .running = member.running,
                                           .restarts = member.monitor->status().restart_count});
    const container::Container* engine = member.monitor->container();
    if (engine == nullptr) continue;
    if (member.monitor->status().vm) {
      if (const auto counted = numbers_in_machine(*engine)) take_numbers(*counted, numbers);
      continue;
    }
    const auto stats = engine->stats();
    if (!stats) continue;
    numbers.cpu_usage_ns = stats->cpu_usage_ns;
    numbers.memory_usage =
        stats->memory_usage - std::min(stats->memory_usage, stats->memory_inactive_file);
    numbers.memory_limit = stats->memory_limit == UINT64_MAX ? 0 : stats->memory_limit;
    numbers.pids = stats->pids;
  }
  return list;
}

void Supervisor::send(const Event& event) {
  if (channel_ && !record_.extensions.empty()) channel_->send(event);
}

}  // namespace trivet::pod
