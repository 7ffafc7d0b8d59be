// What containers use, once or live: `trivet stats` and `trivet pod stats`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "cli/session.h"

namespace trivet::cli {

struct StatsFlags {
  bool no_stream = false;
  std::string format;
};

// --no-stream and --format.
void declare_stats_options(Command& command, StatsFlags& flags);

// What to measure, asked anew each time: ids or names of containers.
using StatsNames = std::function<Result<std::vector<std::string>>()>;
// Whether one that can't be measured is an error, or has just ended and is left out.
enum class Missing { kError, kLeftOut };

// Measures every second until Ctrl-C, or once.
Result<int> show_stats(Session& session, const StatsFlags& flags, const StatsNames& names,
                       Missing missing);

}  // namespace trivet::cli
