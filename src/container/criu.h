// The criu program as our child, and the conversation with it ("criu swrk": one request, and
// notifications on the way; criu(8), https://criu.org/RPC).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/criu_message.h"

namespace trivet::criu {

// What becomes of the child before it executes criu. A restored process begins as a child of it and
// keeps its cgroup and its cgroup namespace.
struct Surroundings {
  std::vector<int> cgroup_fds;  // "0" is written to each
  bool new_cgroup_namespace = false;
  // A directory that is bound on another in a mount namespace of criu's own, for CRIU wants a mount
  // point as a root; nothing of it is seen outside. Empty: none.
  std::string bind_source;
  std::string bind_target;
  std::vector<int> keep;  // descriptors that requests name
};

// Called with a notification; `received` is a descriptor that came along. An error makes criu undo
// what it did.
using OnNotify = std::function<Result<>(const Answer& notification, UniqueFd received)>;

// Sends the request to a criu of its own and stays until it has answered and ended. The restored
// init is a child of ours. kCommandNotFound with a hint when there is no criu; else errors quote
// those of the log file, which is below `log_directory`.
Result<Answer> run(RequestType type, const Options& options, const Surroundings& surroundings,
                   const std::string& log_directory, const OnNotify& on_notify);

// The first errors of criu's log, in one line.
[[nodiscard]] std::string errors_of_log(std::string_view log);

}  // namespace trivet::criu
