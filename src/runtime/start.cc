// Starting a container under a monitor, and joining the caller's streams to it.
#include <optional>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "monitor/attach_client.h"
#include "monitor/control.h"
#include "monitor/pool_member.h"
#include "runtime/create.h"
#include "runtime/lifecycle.h"
#include "runtime/names.h"
#include "runtime/pool_start.h"
#include "runtime/spare_process.h"
#include "runtime/stored_options.h"

namespace trivet::runtime {

namespace {

Result<std::string> find_monitor() {
  std::string program = find_companion("trivet-monitor");
  if (!program.empty()) return program;
  return std::unexpected(
      Error(ErrorCode::kUnsupported, "the program trivet-monitor is not installed")
          .hint("it belongs beside trivet or into PREFIX/libexec/trivet"));
}

// A namespace of another container is where that one runs now.
Result<> refresh_joins(const Home& home, const monitor::Record& record) {
  const std::vector<Join> joins = stored_joins(record.options_json);
  if (joins.empty()) return {};
  const std::string path = home.directories.container(record.id) + "/config.json";
  oci::Spec spec = TRY_IN(oci::parse_spec(TRY(read_file(path))), "\"{}\"", path);
  TRY(apply_joins(home, joins, spec));
  return replace_file(AT_FDCWD, path, oci::print_spec(spec), 0600);
}

// Less what is the same for all of them.
Result<monitor::MonitorStarting> spawn_monitor(const Home& home, monitor::MonitorStart start) {
  start.directories = home.directories;
  if (auto spare = home.spare ? take_spare(*home.spare) : std::nullopt) {
    // One that has ended meanwhile is not missed.
    if (auto starting = std::move(*spare).become(start)) return starting;
  }
  start.program = TRY(find_monitor());
  return monitor::spawn_monitor(start);
}

Result<> launch(monitor::MonitorStarting& monitor) {
  TRY(monitor.go());
  TRY(monitor.wait());
  return {};
}

monitor::AttachOptions streams_of(const RunOptions& options) {
  return {.terminal = options.terminal,
          .interactive = options.interactive,
          .detach_keys = options.detach_keys,
          .forward_signals = true};
}

// Connected before the program begins, so that nothing it prints is missed.
struct AttachedMonitor {
  UniqueFd connection;
  monitor::MonitorStarting monitor;
};
Result<AttachedMonitor> spawn_attached(const Home& home, monitor::MonitorStart start) {
  monitor::AttachPair pair = TRY(monitor::make_attach_pair());
  start.given_fd = pair.monitor.get();
  auto monitor = TRY(spawn_monitor(home, std::move(start)));
  return AttachedMonitor{.connection = std::move(pair.client), .monitor = std::move(monitor)};
}

Result<Engine::RunResult> launch_attached(AttachedMonitor spawned, const std::string& id,
                                          const monitor::AttachOptions& streams) {
  TRY(monitor::send_terminal_size(spawned.connection.get(), streams));
  TRY(launch(spawned.monitor));
  const auto outcome =
      TRY(monitor::attach_client(std::move(spawned.connection), streams, monitor::Announce::kNo));
  return Engine::RunResult{.id = id, .detached = outcome.detached, .exit_code = outcome.exit_code};
}

bool never_started(const Home& home, const std::string& id) {
  const auto status = monitor::read_status(home.directories, id);
  return status && !status->started;
}

}  // namespace

// A container that could not be started leaves nothing.
Error discard_container(const Home& home, const monitor::Record& record, Error cause) {
  if (const auto ended = wait_for_monitor_end(home, record.id); !ended) {
    return std::move(cause).note(ended.error());
  }
  const auto erased = erase_container(home, record, AnonymousVolumes::kRemove);
  return erased ? cause : std::move(cause).note(erased.error());
}

Result<monitor::MonitorStarting> spawn_holder(const Home& home, const std::string& id) {
  return spawn_monitor(home, {.id = id, .hold = true});
}

Result<UniqueFd> start_waiting(const Home& home, const std::string& id,
                               const monitor::StartRequest& request,
                               const monitor::AttachOptions& streams) {
  UniqueFd connection = TRY(monitor::watch_container(home.directories, id));
  if (request.foreground && streams.terminal) {
    TRY(monitor::send_terminal_size(connection.get(), streams));
  }
  TRY(monitor::request_start(connection.get(), request));
  return connection;
}

// Of the host's root, whose monitor can make it ahead. What is wrong with the option is said by who
// plans the container.
bool has_own_network(const RunOptions& options) {
  if (in_user_namespace()) return false;
  const auto network = net::parse_network(options.network);
  return network && (network->mode == net::Mode::kPasta || network->mode == net::Mode::kNone);
}

// The monitor starts while the container is being made.
Result<Engine::RunResult> run_container(const Home& home, const RunOptions& options) {
  const std::string id = make_id();
  const monitor::MonitorStart start{.id = id, .own_network = has_own_network(options)};
  std::optional<AttachedMonitor> attached;
  std::optional<monitor::MonitorStarting> detached;
  if (options.detach) {
    detached = TRY(spawn_monitor(home, start));
  } else {
    attached = TRY(spawn_attached(home, start));
  }
  const monitor::Record record = TRY(create_container(home, options, ResolveJoins::kNow, id));
  const auto run = [&]() -> Result<Engine::RunResult> {
    if (attached) return launch_attached(std::move(*attached), id, streams_of(options));
    TRY(launch(*detached));
    return Engine::RunResult{.id = id, .detached = true};
  };
  auto result = run();
  // When only the streams failed, the container goes on and is the monitor's.
  if (!result && never_started(home, id)) {
    return std::unexpected(discard_container(home, record, std::move(result).error()));
  }
  return result;
}

namespace {

// Prepared for a pool, and not started yet.
bool waits(const Observed& observed) {
  return observed.monitor_alive && monitor::is_waiting(observed.status);
}

bool runs_already(const Observed& observed) {
  return observed.monitor_alive && observed.state != ContainerStatus::kStopped;
}

// What a container that does not run needs before its monitor is launched.
Result<> prepare_start(const Home& home, const Observed& observed) {
  const std::string& id = observed.record.id;
  TRY(require_podless(observed, "started"));
  if (observed.monitor_alive) TRY(wait_for_monitor_end(home, id));
  if (observed.init_alive) {
    return std::unexpected(
        Error(ErrorCode::kWrongState,
              fmt::format("container \"{}\" runs without a monitor", observed.record.name))
            .hint(fmt::format("stop it first: trivet stop {}", observed.record.name)));
  }
  TRY(settle_container(home, id));
  return refresh_joins(home, observed.record);
}

}  // namespace

Result<> start_container(const Home& home, const Observed& observed) {
  if (waits(observed)) {
    TRY(start_waiting(home, observed.record.id, {}, {}));
    return {};
  }
  if (runs_already(observed)) {
    if (observed.state != ContainerStatus::kPaused) return {};
    return fail(ErrorCode::kWrongState, "container \"{}\" is paused: unpause it instead",
                observed.record.name);
  }
  TRY(prepare_start(home, observed));
  auto monitor = TRY(spawn_monitor(home, {.id = observed.record.id}));
  return launch(monitor);
}

Result<AttachResult> start_attached(const Home& home, const Observed& observed,
                                    const AttachOptions& options) {
  const monitor::AttachOptions streams{
      .terminal = observed.record.terminal,
      .interactive = options.interactive && observed.record.interactive,
      .detach_keys = options.detach_keys,
      .forward_signals = options.forward_signals};
  if (waits(observed)) {
    UniqueFd connection =
        TRY(start_waiting(home, observed.record.id, {.foreground = true}, streams));
    const auto outcome =
        TRY(monitor::attach_client(std::move(connection), streams, monitor::Announce::kNo));
    return AttachResult{.detached = outcome.detached, .exit_code = outcome.exit_code};
  }
  if (runs_already(observed)) return attach_container(home, observed, options);
  TRY(prepare_start(home, observed));
  const auto result = TRY(launch_attached(TRY(spawn_attached(home, {.id = observed.record.id})),
                                          observed.record.id, streams));
  return AttachResult{.detached = result.detached, .exit_code = result.exit_code};
}

Result<AttachResult> attach_container(const Home& home, const Observed& observed,
                                      const AttachOptions& options) {
  TRY(require_running(observed));
  if (!observed.monitor_alive) {
    return fail(ErrorCode::kWrongState,
                "container \"{}\" has lost its monitor: its streams are "
                "gone",
                observed.record.name);
  }
  UniqueFd connection = TRY(monitor::connect_to_monitor(home.directories, observed.record.id));
  const auto outcome =
      TRY(monitor::attach_client(std::move(connection),
                                 {.terminal = observed.record.terminal,
                                  .interactive = options.interactive && observed.record.interactive,
                                  .detach_keys = options.detach_keys,
                                  .forward_signals = options.forward_signals},
                                 monitor::Announce::kYes));
  return AttachResult{.detached = outcome.detached, .exit_code = outcome.exit_code};
}

}  // namespace trivet::runtime
