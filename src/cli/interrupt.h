// Ctrl-C as a request instead of a sudden death, so that the engine can clean up.
#pragma once

#include <signal.h>
#include <stop_token>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::cli {

// While it lives, SIGINT and SIGTERM request a stop; the second one ends the process. Make it
// before any thread that the work starts, so that they all have the signals blocked.
class StopOnInterrupt {
 public:
  static Result<StopOnInterrupt> install();
  StopOnInterrupt(StopOnInterrupt&&) = default;
  StopOnInterrupt(const StopOnInterrupt&) = delete;
  StopOnInterrupt& operator=(const StopOnInterrupt&) = delete;
  StopOnInterrupt& operator=(StopOnInterrupt&&) = delete;
  ~StopOnInterrupt();

  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  StopOnInterrupt(UniqueFd signals, sigset_t before);

  sigset_t before_;
  std::stop_source source_;
  std::jthread watcher_;
};

}  // namespace trivet::cli
