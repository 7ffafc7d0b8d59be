// A process made ahead, for programs that start one container and want it soon.
#pragma once

#include <memory>

#include "trivet/result.h"

namespace trivet {

// A copy of the calling process by fork(2), which waits to be a container's monitor: with it in
// EngineOptions the first run() or start() of that Engine does not wait for the program
// trivet-monitor to be executed. The copy ends by itself when nobody needs it: with this object, or
// with the process that made it.
class TRIVET_API SpareProcess {
 public:
  // Belongs at the beginning of main(): what is in memory by then stays there as long as the
  // container's monitor lives. The copy never returns from it, runs nothing of what was registered
  // for an exit, has closed all descriptors above 2, and handles no signals. kWrongState: there are
  // other threads, or were. kSystem: there can be no more processes, or stdin, stdout or stderr is
  // closed.
  static Result<std::shared_ptr<SpareProcess>> make();
  SpareProcess(const SpareProcess&) = delete;
  SpareProcess& operator=(const SpareProcess&) = delete;
  SpareProcess(SpareProcess&&) = delete;
  SpareProcess& operator=(SpareProcess&&) = delete;
  // Nothing of a copy that was not needed is left.
  ~SpareProcess();

  struct State;
  // For the Engine.
  [[nodiscard]] State& state() { return *state_; }

 private:
  explicit SpareProcess(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trivet
