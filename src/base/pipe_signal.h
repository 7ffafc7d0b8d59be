// SIGPIPE, for code that runs in somebody else's process.
#pragma once

#include <csignal>

namespace trivet {

// A write to a pipe that nobody reads fails with EPIPE and raises SIGPIPE, which ends a process
// that has not thought of it. While the object lives, this thread's writes only fail: the signal is
// blocked, and taken away in the end unless it was pending before. No other thread is concerned.
class PipeSignalBlock {
 public:
  PipeSignalBlock();
  PipeSignalBlock(const PipeSignalBlock&) = delete;
  PipeSignalBlock& operator=(const PipeSignalBlock&) = delete;
  ~PipeSignalBlock();

 private:
  sigset_t set_{};
  sigset_t saved_{};
  bool was_pending_ = false;
};

}  // namespace trivet
