// Processes: identity that survives pid reuse, pidfds, and running other programs.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// A process named for longer than its life: the kernel reuses pids, but not together with the
// start time (field 22 of /proc/PID/stat, in clock ticks since boot, proc(5)).
struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;

  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

// Start time of a live process; kNotFound when there is none.
Result<ProcessId> identify_process(pid_t pid);

// True while the very process runs; a zombie counts as gone.
[[nodiscard]] bool is_alive(const ProcessId& process);

// Whether this process is in another user namespace than the host's: root there is nobody special.
[[nodiscard]] bool in_user_namespace();

// A pidfd of exactly this process: opened, then its identity is checked. kNotFound if it is gone.
Result<UniqueFd> open_pidfd(const ProcessId& process);
Result<UniqueFd> open_pidfd(pid_t pid);

// pidfd_send_signal(2). A process that is gone is kNotFound.
Result<> send_signal(int pidfd, int signal);

// Waits until the process of the pidfd has ended; works for processes that are not our children.
// Returns false when `timeout` passed first.
Result<bool> wait_pidfd(int pidfd, std::optional<std::chrono::milliseconds> timeout);

// waitid(2) on our own child: the exit status in the shell's convention, 128 + N for signal N.
Result<int> reap_child(int pidfd);
// The same convention for a wait status.
[[nodiscard]] int exit_code_of(int wait_status);

// Both ends are close-on-exec.
struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
Result<Pipe> make_pipe();

// A descriptor of ours and the number it has in another program.
struct InheritedFd {
  int fd = -1;
  int number = -1;
};
// Starts a program (a path; argv[0] need not be it) in a session of its own, with all signals as a
// program expects them, with these descriptors and what there is below the highest of their
// numbers, and no others.
Result<pid_t> spawn_in_session(const std::string& program, const std::vector<std::string>& argv,
                               const std::vector<InheritedFd>& inherited);

// What a program printed and how it ended.
struct Output {
  int exit_code = 0;
  std::string stdout_text;
  std::string stderr_text;
  [[nodiscard]] bool ok() const { return exit_code == 0; }
};

struct ProgramOptions {
  std::string stdin_text;
  std::vector<std::string> environment;  // empty: the caller's
  std::chrono::milliseconds timeout{60000};
};

// Runs a program (found by PATH) to its end and collects its output. On timeout it is killed and
// the call fails with kTimeout; kCommandNotFound when there is no such program.
Result<Output> run_program(const std::vector<std::string>& argv,
                           const ProgramOptions& options = {});

}  // namespace trivet
