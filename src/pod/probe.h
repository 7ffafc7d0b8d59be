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
  // Of the pod, for sockets; negative: this process's own network (hostNetwork). Hosts are numeric
  // addresses or "localhost": nothing resolves names here.
  int network_namespace = -1;
  // Starts a command in the container with /dev/null as stdin and these two descriptors as stdout
  // and stderr; what it returns is a child of this process.
  std::function<Result<container::Started>(const std::vector<std::string>& command, int stdout_fd,
                                           int stderr_fd)>
      exec;
  // Whether the container is paused: its probes rest then, and one that was going on counts for
  // nothing. Empty: never.
  std::function<bool()> paused = nullptr;
  // Instead of a socket in `network_namespace`, where the pod's network is none of this host's: a
  // connected one, or why not.
  std::function<Result<UniqueFd>(const std::string& host, uint16_t port)> connect = nullptr;
};

// An action that is going on; it is given up, and its command killed, when the object goes. `done`
// is called once, from the loop, and may delete the object. An error says what was wrong in a
// person's words: "GET http://127.0.0.1:80/healthz: status code 500", `command "cat /x": exited
// with code 1: cat: can't open …` (with the first 256 bytes of what it printed), "connection to
// 127.0.0.1:6379: connect: Connection refused", "…: no answer within 1000 ms".
class RunningAction {
 public:
  using Done = std::function<void(Result<> outcome)>;
  virtual ~RunningAction() = default;
  // A child that is reaped through its pidfd here, and by nobody else; 0: none. One that was given
  // up is no more in this: it is reaped by the loop, or by who comes first.
  [[nodiscard]] virtual pid_t child() const { return 0; }
};
// HTTPS is done by the program trivet-probe-tls, a child.
Result<std::unique_ptr<RunningAction>> start_action(const Action& action,
                                                    std::chrono::milliseconds timeout,
                                                    const ActionTarget& target,
                                                    RunningAction::Done done);

// A probe that is repeated by its rules for as long as the object lives. `on_change` is told when
// the threshold of successes or failures has been crossed, with the last failure's message, and may
// delete the object; for a startup probe (kUntilGood) the first success ends it.
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
