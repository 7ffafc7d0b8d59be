// What the library asks a monitor for. All need a living monitor: kNotFound otherwise.
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/attach.h"
#include "monitor/start_request.h"

namespace trivet::monitor {

// Sends the stop signal, then SIGKILL after the grace; returns the exit code once the container has
// ended and the monitor has cleaned up.
Result<int> request_stop(const Directories& directories, const std::string& id,
                         const StopRequest& request);
Result<> request_signal(const Directories& directories, const std::string& id, int signal);
Result<> request_pause(const Directories& directories, const std::string& id);
Result<> request_resume(const Directories& directories, const std::string& id);

// A container that waits is started or, discarded, ended; kWrongState when another was first. A
// foreground request makes `connection` (of watch_container()) what attach_client() takes, without
// announcing.
Result<> request_start(int connection, const StartRequest& request);

// Waits until it has ended for good; the exit code, or nothing when the timeout passed or the stop
// was requested first.
Result<std::optional<int>> wait_for_exit(const Directories& directories, const std::string& id,
                                         std::optional<std::chrono::milliseconds> timeout,
                                         const std::stop_token& stop = {});

// A descriptor that becomes readable when the container has ended for good: LogQuery::end_fd.
Result<UniqueFd> watch_container(const Directories& directories, const std::string& id);

// Starts the program trivet-monitor for a container that has none and waits until its program runs;
// or trivet-pod-monitor for a pod. `given_fd` (or -1) is the monitor's end of make_attach_pair(),
// or the pod's journal. Errors are those of the start.
struct MonitorStart {
  Directories directories;
  std::string id;
  std::string program;  // find_companion("trivet-monitor")
  int given_fd = -1;
  bool hold = false;         // the container waits for a kStart when its start is reported
  bool own_network = false;  // it will have a network of its own: that is made meanwhile
};
Result<pid_t> start_monitor(const MonitorStart& start);

// The same in steps: other work goes on in between, such as making the container. A monitor that is
// never told to go ends by itself and has touched nothing.
class MonitorStarting {
 public:
  MonitorStarting(UniqueFd sync, UniqueFd go) : sync_(std::move(sync)), go_(std::move(go)) {}
  Result<> go();
  // After go(), until the program runs: the pid of the init.
  Result<pid_t> wait();

 private:
  UniqueFd sync_;
  UniqueFd go_;
};
Result<MonitorStarting> spawn_monitor(const MonitorStart& start);

// What the program's command line says of it, less the descriptors: see parse_arguments().
[[nodiscard]] std::vector<std::string> words_of(const MonitorStart& start);
// Monitors outlive most callers. One that lives longer must not collect their zombies: those that
// have ended are reaped when the next one is started.
void reap_later(pid_t monitor);

}  // namespace trivet::monitor
