// Doing an Action in a pod without waiting for it: probes and hooks.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "pod/record.h"

namespace trivet::pod {

// What an action works on. It lives longer than the action.
struct ActionTarget {
  EventLoop& loop;
  // Of the pod, for sockets; negative: this process's own network (hostNetwork).
  int network_namespace = -1;
  // Starts a command in the container with /dev/null as stdin and these two descriptors as stdout
  // and stderr; what it returns is a child of this process.
  std::function<Result<container::Started>(const std::vector<std::string>& command, int stdout_fd,
                                           int stderr_fd)>
      exec;
};

// An action that is going on; it is given up, and its command killed, when the object goes. `done`
// is called once, from the loop: an error says what was wrong in a person's words ("HTTP probe
// failed with status code 500", the command's exit code and first output, "connection refused",
// "no answer within 1000 ms").
class RunningAction {
 public:
  using Done = std::function<void(Result<> outcome)>;
  virtual ~RunningAction() = default;
  // Children that are reaped through their pidfds here, and by nobody else; 0: none.
  [[nodiscard]] virtual pid_t child() const { return 0; }
};
Result<std::unique_ptr<RunningAction>> start_action(const Action& action,
                                                    std::chrono::milliseconds timeout,
                                                    const ActionTarget& target,
                                                    RunningAction::Done done);

// A probe that is repeated by its rules for as long as the object lives. `on_change` is told when
// the threshold of successes or failures has been crossed, with the last failure's message; for a
// startup probe the first success ends it.
class ProbeLoop {
 public:
  enum class State { kUnknown, kGood, kBad };
  using Change = std::function<void(State state, const std::string& message)>;
  enum class Repeat { kForever, kUntilGood };

  ProbeLoop(const Probe& probe, ActionTarget target, Repeat repeat, Change on_change);
  ~ProbeLoop();
  ProbeLoop(const ProbeLoop&) = delete;
  ProbeLoop& operator=(const ProbeLoop&) = delete;

  [[nodiscard]] State state() const;
  [[nodiscard]] pid_t child() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trivet::pod
