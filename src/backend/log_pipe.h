// Log lines from a thread that pushes them to one that pulls them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "trivet/backend.h"

namespace trivet::backend {

// Reads a log to its end, or until the token's stop, and hands each line over.
using LogReader = std::function<Result<>(const std::stop_token& stop,
                                         const std::function<void(const LogLine&)>&)>;

// Runs `reader` in a thread that is no further ahead than a few hundred lines. It is told to stop
// when the object goes, or when `outer` is.
std::unique_ptr<LogSource> make_log_pipe(LogReader reader, const std::stop_token& outer);

}  // namespace trivet::backend
