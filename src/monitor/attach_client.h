// Joining the caller's terminal and streams to a container, or to a process of exec.
//
// These calls block until the other side has ended or the user detaches. Meanwhile the forwarded
// signals (HUP, INT, QUIT, TERM, USR1, USR2) and WINCH are blocked in the calling thread and taken
// through a signalfd: a program with more threads blocks them there too. SIGPIPE is ignored.
// The terminal is restored on every way out.
#pragma once

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "monitor/attach.h"

namespace trivet::monitor {

struct AttachOptions {
  bool terminal = false;     // the container has a terminal: raw mode, if stdin is one too
  bool interactive = false;  // forward stdin
  std::string detach_keys = "ctrl-p,ctrl-q";
  bool forward_signals = true;
  // Of a child: then it gets SIGTERM, and SIGKILL two seconds later.
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
  int stdin_fd = 0;
  int stdout_fd = 1;
  int stderr_fd = 2;
};

struct AttachOutcome {
  bool detached = false;
  bool timed_out = false;
  int exit_code = 0;
};

// Blocks the forwarded signals in the calling thread until the object goes. Made before the monitor
// is started, it keeps a signal that comes meanwhile for attach_client().
class SignalBlock {
 public:
  SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;
  ~SignalBlock();

 private:
  sigset_t saved_{};
};

// Over a connection to a monitor: the client's end of make_attach_pair(), or connect_to_monitor().
// Three SIGINT or SIGTERM within two seconds kill the container. When the caller's stdout is closed
// by its reader, the container is stopped, as a process in a pipeline would be by SIGPIPE.
enum class Announce { kNo, kYes };  // kAttach is to be sent first: not on an attach pair
Result<AttachOutcome> attach_client(UniqueFd connection, const AttachOptions& options,
                                    Announce announce);
// Sends the size of the caller's terminal, if stdin is one. On an attach pair before the monitor is
// started, so that the program finds the size when it begins.
Result<> send_terminal_size(int connection, const AttachOptions& options);

// Over the console of a process that is our child and leads a process group: `exec -it`. Reaps it.
// Past the timeout it gets SIGTERM, two seconds later SIGKILL, and what is left of its group is
// killed.
Result<AttachOutcome> pump_terminal(container::Started child, const AttachOptions& options);

// The caller's ends of the pipes that are the process's 0, 1 and 2. Invalid ones are left out: a
// process that got the caller's own descriptors only has its signals forwarded.
struct StreamEnds {
  UniqueFd stdin_fd;
  UniqueFd stdout_fd;
  UniqueFd stderr_fd;
};
Result<AttachOutcome> pump_streams(StreamEnds ends, const container::Started& child,
                                   const AttachOptions& options);

}  // namespace trivet::monitor
