#include "monitor/restart.h"

#include <algorithm>

namespace trivet::monitor {

bool should_restart(RestartKind kind, int retries, const Ended& ended) {
  if (ended.stopped_by_user || ended.timed_out) return false;
  switch (kind) {
    case RestartKind::kNo:
      return false;
    case RestartKind::kOnFailure:
      return ended.exit_code != 0 && (retries == 0 || ended.restarts < retries);
    case RestartKind::kAlways:
    case RestartKind::kUnlessStopped:
      return true;
  }
  return false;
}

std::chrono::milliseconds next_backoff(std::chrono::milliseconds previous,
                                       std::chrono::milliseconds ran_for) {
  constexpr std::chrono::milliseconds kFirst{100};
  constexpr std::chrono::milliseconds kLongest = std::chrono::minutes(1);
  constexpr std::chrono::milliseconds kHealthy = std::chrono::seconds(10);
  if (previous.count() == 0 || ran_for >= kHealthy) return kFirst;
  return std::min(previous * 2, kLongest);
}

}  // namespace trivet::monitor
