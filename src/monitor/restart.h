// When a container that ended is started again.
#pragma once

#include <chrono>

#include "monitor/record.h"

namespace trivet::monitor {

struct Ended {
  int exit_code = 0;
  int restarts = 0;  // so far
  bool stopped_by_user = false;
  bool timed_out = false;
};
// --restart: never after a stop by the user or by --timeout; on-failure only for a non-zero exit
// code and at most `retries` times (0: without limit).
[[nodiscard]] bool should_restart(RestartKind kind, int retries, const Ended& ended);

// The pause before the next start: 100 ms, doubled each time up to one minute; from the beginning
// again after ten seconds of running.
[[nodiscard]] std::chrono::milliseconds next_backoff(std::chrono::milliseconds previous,
                                                     std::chrono::milliseconds ran_for);

}  // namespace trivet::monitor
