// What happens to the processes of a cgroup: listing, freezing, killing.
#include <signal.h>

#include "base/text.h"
#include "linux/cgroup.h"
#include "linux/cgroup_files.h"

namespace trivet::cgroup {

namespace {

constexpr std::chrono::seconds kKillTimeout{10};
// A process that can't be frozen (in uninterruptible sleep) must not keep the others alive.
constexpr std::chrono::milliseconds kFreezeToKill{100};
// Freezing may stay incomplete when a process is about to fork: asking again helps.
constexpr int kFreezeRetries = 16;

bool is_gone(const Error& error) {
  return error.errnum() == ENOENT || error.errnum() == ENODEV;
}

Result<bool> v1_frozen(const std::string& directory) {
  return trim(TRY(read_control(directory, "freezer.state"))) == "FROZEN";
}

Result<bool> v2_frozen(const std::string& directory) {
  return find_value(TRY(read_control(directory, "cgroup.events")), "frozen") == 1;
}

Result<bool> request_v1_freeze(const std::string& directory, int& attempts) {
  if (attempts++ % kFreezeRetries == 0) TRY(write_control(directory, "freezer.state", "FROZEN"));
  return v1_frozen(directory);
}

// kill(2) by pid is safe here only because frozen processes can't end and give their pid away; a
// pid that vanished was about to end anyway.
Result<> signal_all(const std::vector<pid_t>& pids, int signal) {
  for (const pid_t pid : pids) {
    if (::kill(pid, signal) != 0 && errno != ESRCH) {
      return fail_errno("kill process {} with {}", pid, signal_name(signal));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<pid_t>> Cgroup::processes() const {
  // Any v1 hierarchy would do; the freezer's is the one that kill_all() works on.
  for (const char* key : {"freezer", "pids"}) {
    if (paths_.mode == Mode::kV2) break;
    if (const std::string directory = directory_of(key); !directory.empty()) {
      return processes_below(directory);
    }
  }
  if (paths_.directories.empty()) return std::vector<pid_t>{};
  return processes_below(paths_.directories.front());
}

Result<> Cgroup::freeze(std::chrono::milliseconds timeout) const {
  const bool v2 = paths_.mode == Mode::kV2;
  const std::string directory = directory_of(v2 ? "unified" : "freezer");
  if (directory.empty()) {
    return fail(ErrorCode::kUnsupported, "this host has no \"freezer\" cgroup controller");
  }
  if (v2) TRY(write_control(directory, "cgroup.freeze", "1"));
  int attempts = 0;
  const bool frozen = TRY(poll_until(timeout, [&]() -> Result<bool> {
    return v2 ? v2_frozen(directory) : request_v1_freeze(directory, attempts);
  }));
  if (frozen) return {};
  TRY(thaw());
  return fail(ErrorCode::kTimeout, "freeze cgroup \"{}\": not all processes stopped in {} ms",
              directory, timeout.count());
}

Result<> Cgroup::thaw() const {
  if (paths_.mode == Mode::kV2) {
    return write_control(directory_of("unified"), "cgroup.freeze", "0");
  }
  const std::string directory = directory_of("freezer");
  if (directory.empty()) {
    return fail(ErrorCode::kUnsupported, "this host has no \"freezer\" cgroup controller");
  }
  return write_control(directory, "freezer.state", "THAWED");
}

Result<bool> Cgroup::is_frozen() const {
  const bool v2 = paths_.mode == Mode::kV2;
  const std::string directory = directory_of(v2 ? "unified" : "freezer");
  if (directory.empty()) return false;
  auto frozen = v2 ? v2_frozen(directory) : v1_frozen(directory);
  if (!frozen && is_gone(frozen.error())) return false;
  return frozen;
}

Result<> Cgroup::kill_all(int signal) const {
  if (signal != SIGKILL) return signal_all(TRY(processes()), signal);
  const bool v2 = paths_.mode == Mode::kV2;
  const bool can_freeze = !v2 && !directory_of("freezer").empty();
  const auto kill_round = [&]() -> Result<bool> {
    if (TRY(processes()).empty()) return true;
    // cgroup.kill (kernel 5.14) misses nobody, forks neither.
    if (v2 && write_control(directory_of("unified"), "cgroup.kill", "1")) return false;
    const bool frozen = can_freeze && freeze(kFreezeToKill).has_value();
    auto killed = signal_all(TRY(processes()), SIGKILL);
    if (frozen) TRY(thaw());
    TRY(std::move(killed));
    return TRY(processes())
    .empty();
  };
  if (TRY(poll_until(kKillTimeout, kill_round))) return {};
  return fail(ErrorCode::kTimeout, "kill the processes of cgroup \"{}\": some are left after {} s",
              paths_.directories.front(), kKillTimeout.count());
}

}  // namespace trivet::cgroup
