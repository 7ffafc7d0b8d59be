#include "runtime/lifecycle.h"

#include <csignal>
#include <thread>

#include "base/fs.h"
#include "monitor/control.h"
#include "net/network.h"
#include "runtime/create.h"
#include "runtime/names.h"

namespace trivet::runtime {

namespace {

constexpr std::chrono::seconds kPatience{10};

// Of a program whose end nobody saw: the code of SIGKILL, which is what it looks like.
constexpr int kUnseenExitCode = 137;

// The monitor may end between our look and our request.
bool monitor_gone(const Error& error) {
  return error.code() == ErrorCode::kNotFound;
}

Result<> end_orphan(const Observed& observed, std::chrono::milliseconds grace, int signal) {
  const auto pidfd = open_pidfd(observed.status.init);
  if (!pidfd) return {};
  (void)send_signal(pidfd->get(), signal);
  if (TRY(wait_pidfd(pidfd->get(), grace))) return {};
  (void)send_signal(pidfd->get(), SIGKILL);
  if (TRY(wait_pidfd(pidfd->get(), kPatience))) return {};
  return fail(ErrorCode::kTimeout, "process {} does not end after SIGKILL",
              observed.status.init.pid);
}

bool is_up(const Observed& observed) {
  return observed.init_alive ||
         (observed.monitor_alive && observed.state != ContainerStatus::kStopped);
}

// A directory without a record: a creation that was killed. Its name is found by what it points to.
Result<> remove_half_made(const Home& home, const std::string& id) {
  monitor::Record record;
  record.id = id;
  TRY(monitor::remove_container(home.directories, record));
  const auto names = list_dir(AT_FDCWD, home.directories.names());
  if (!names) return {};  // no name was ever claimed
  for (const std::string& name : *names) TRY(monitor::release_name(home.directories, name, id));
  return {};
}

}  // namespace

Result<> require_podless(const Observed& observed, std::string_view verb) {
  if (observed.record.pod.empty()) return {};
  return std::unexpected(
      Error(ErrorCode::kWrongState,
            fmt::format("container \"{}\" belongs to pod {}: it can't be {} by itself",
                        observed.record.name, observed.record.pod.substr(0, 12), verb))
          .hint(fmt::format("see trivet pod inspect {}", observed.record.pod.substr(0, 12))));
}

Result<> wait_for_monitor_end(const Home& home, const std::string& id) {
  const auto status = monitor::read_status(home.directories, id);
  if (status && status->monitor.pid > 0) {
    if (const auto pidfd = open_pidfd(status->monitor)) {
      (void)TRY(wait_pidfd(pidfd->get(), kPatience));
    }
  }
  // One that ends before it has written its status is known by its lock alone.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (monitor::monitor_alive(home.directories, id)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorCode::kTimeout, "the monitor of container {} does not end",
                  id.substr(0, 12));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {};
}

Result<> settle_container(const Home& home, const std::string& id) {
  monitor::Status status = TRY(monitor::read_status(home.directories, id));
  if (exists(fmt::format("{}/{}", home.directories.engine(), id))) {
    TRY(container::Container::force_remove(home.directories.engine(), id));
  }
  if (status.pasta.pid > 0 && is_alive(status.pasta)) TRY(net::stop_pasta(status.pasta));
  const bool ended = status.phase == monitor::Phase::kExited;
  const bool never_ran = status.phase == monitor::Phase::kCreated && !status.started;
  if (ended || never_ran) return {};
  status.phase = monitor::Phase::kExited;
  status.exit_code = kUnseenExitCode;
  status.error = "its monitor ended before it did";
  status.finished = std::chrono::system_clock::now();
  status.init = status.pasta = status.monitor = {};
  return monitor::write_status(home.directories, id, status);
}

Result<> stop_container(const Home& home, const Observed& observed,
                        std::optional<std::chrono::milliseconds> grace, int signal) {
  const std::string& id = observed.record.id;
  if (observed.monitor_alive) {
    const auto stopped = monitor::request_stop(
        home.directories, id, {.signal = signal, .grace_ms = grace ? grace->count() : -1});
    if (stopped) return {};
    if (!monitor_gone(stopped.error())) return std::unexpected(stopped.error());
    TRY(wait_for_monitor_end(home, id));
    // It ended in order, or was killed and has left the program behind.
    const auto left = observe(home, id);
    return left ? stop_container(home, *left, grace, signal) : Result<>();
  }
  if (!observed.init_alive) return {};
  const std::chrono::milliseconds own_grace(observed.record.stop_timeout_ms);
  TRY(end_orphan(observed, grace.value_or(own_grace),
                 signal != 0 ? signal : observed.record.stop_signal));
  return settle_container(home, id);
}

Result<> kill_container(const Home& home, const Observed& observed, int signal) {
  if (observed.monitor_alive) {
    return monitor::request_signal(home.directories, observed.record.id, signal);
  }
  TRY(require_running(observed));
  const UniqueFd pidfd = TRY(open_pidfd(observed.status.init));
  return send_signal(pidfd.get(), signal);
}

Result<> pause_container(const Home& home, const Observed& observed) {
  TRY(require_running(observed));
  if (observed.state == ContainerStatus::kPaused) {
    return fail(ErrorCode::kWrongState, "container \"{}\" is paused already", observed.record.name);
  }
  if (observed.monitor_alive) {
    return monitor::request_pause(home.directories, observed.record.id);
  }
  auto engine = TRY(load_engine(home, observed));
  return engine.pause();
}

Result<> unpause_container(const Home& home, const Observed& observed) {
  TRY(require_running(observed));
  if (observed.monitor_alive) {
    if (observed.state != ContainerStatus::kPaused) {
      return fail(ErrorCode::kWrongState, "container \"{}\" is not paused", observed.record.name);
    }
    return monitor::request_resume(home.directories, observed.record.id);
  }
  auto engine = TRY(load_engine(home, observed));
  return engine.resume();
}

Result<> remove_container(const Home& home, std::string_view name, bool force, bool volumes) {
  const std::string id = TRY(find_id(home, name));
  const auto observed = observe(home, id);
  if (!observed) {
    if (!force) return std::unexpected(observed.error());
    return remove_half_made(home, id);
  }
  TRY(require_podless(*observed, "removed"));
  if (is_up(*observed) && !force) {
    return std::unexpected(
        Error(ErrorCode::kWrongState, fmt::format("container \"{}\" is {}", observed->record.name,
                                                  container_status_name(observed->state)))
            .hint(fmt::format("stop it first, or remove it by force: trivet rm -f {}",
                              observed->record.name)));
  }
  if (observed->monitor_alive) {
    if (is_up(*observed)) {
      TRY(stop_container(home, *observed, std::chrono::milliseconds(0), SIGKILL));
    }
    TRY(wait_for_monitor_end(home, id));
  }
  // With --rm the monitor has removed it.
  if (!exists(home.directories.container(id))) return {};
  return erase_container(home, observed->record,
                         volumes ? AnonymousVolumes::kRemove : AnonymousVolumes::kKeep);
}

Result<> rename_container(const Home& home, const Observed& observed, const std::string& new_name) {
  TRY(require_podless(observed, "renamed"));
  const std::string old_name = observed.record.name;
  if (new_name == old_name) return {};
  TRY(claim_name(home, new_name, observed.record.id));
  monitor::Record record = observed.record;
  record.name = new_name;
  if (const auto written = monitor::write_record(home.directories, record); !written) {
    (void)monitor::release_name(home.directories, new_name, record.id);
    return written;
  }
  return monitor::release_name(home.directories, old_name, record.id);
}

Result<int> wait_container(const Home& home, const Observed& observed,
                           std::optional<std::chrono::milliseconds> timeout,
                           const std::stop_token& stop) {
  const std::string& id = observed.record.id;
  const auto late = [&] {
    if (stop.stop_requested()) {
      return fail(ErrorCode::kCanceled, "waiting for container \"{}\" was given up",
                  observed.record.name);
    }
    return fail(ErrorCode::kTimeout, "container \"{}\" has not ended yet", observed.record.name);
  };
  if (observed.monitor_alive) {
    const auto code = monitor::wait_for_exit(home.directories, id, timeout, stop);
    if (code && !*code) return late();
    if (code) return **code;
    if (!monitor_gone(code.error())) return std::unexpected(code.error());
    return TRY(monitor::read_status(home.directories, id))
    .exit_code;
  }
  if (!observed.init_alive) {
    if (observed.state != ContainerStatus::kCreated) return observed.status.exit_code;
    return fail(ErrorCode::kWrongState, "container \"{}\" was never started", observed.record.name);
  }
  const auto pidfd = open_pidfd(observed.status.init);
  if (pidfd && !TRY(wait_pidfd(pidfd->get(), timeout))) return late();
  return kUnseenExitCode;
}

}  // namespace trivet::runtime
