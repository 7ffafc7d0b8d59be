// What all actions have in common: they end once, by their deadline or before.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/probe.h"

namespace trivet::pod {

// Ends a child of an action, with what it has started as far as that is still of its process group.
// It is reaped when it has ended, which in a frozen cgroup is later: by the loop, so that nobody
// waits for it. Somebody else may have done it before.
void end_child(EventLoop& loop, container::Started child);

class TimedAction : public RunningAction {
 public:
  TimedAction(const TimedAction&) = delete;
  TimedAction& operator=(const TimedAction&) = delete;
  ~TimedAction() override;

 protected:
  TimedAction(EventLoop& loop, std::chrono::milliseconds timeout, Done done);

  // Tells the outcome; `done` may delete this object, so nothing may be done to it after that.
  void finish(Result<> outcome);
  // What it means that the time is over.
  [[nodiscard]] virtual Result<> expire();
  // Stops watching, and ends what is still going on.
  virtual void release() = 0;

  [[nodiscard]] EventLoop& loop() const { return loop_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }

 private:
  enum class Timer { kDeadline };

  EventLoop& loop_;
  std::chrono::milliseconds timeout_;
  Done done_;
};

// A conversation over one TCP connection. Derived classes say what is sent and what the answer
// means; nothing means that the conversation goes on.
class SocketAction : public TimedAction {
 public:
  using Outcome = std::optional<Result<>>;
  SocketAction(const SocketAction&) = delete;
  SocketAction& operator=(const SocketAction&) = delete;
  ~SocketAction() override;

  Result<> open(const ActionTarget& target);

 protected:
  SocketAction(const Action& action, EventLoop& loop, std::chrono::milliseconds timeout, Done done);

  virtual Outcome on_connected() = 0;
  virtual Outcome on_bytes(std::string_view bytes) = 0;
  virtual Outcome on_end() = 0;

  void send(std::string_view bytes) { output_ += bytes; }
  // The conversation goes on over another socket, which is connected; returns the present one.
  Result<UniqueFd> change_socket(UniqueFd socket);
  [[nodiscard]] Result<> expire() override;
  void release() override;
  // "127.0.0.1:8080", "[::1]:8080".
  [[nodiscard]] std::string authority() const;

 private:
  Result<> watch();
  void serve(uint32_t events);
  Outcome advance(uint32_t events);
  Outcome read_some();
  Outcome write_some();

  std::string host_;
  uint16_t port_;
  UniqueFd socket_;
  std::string output_;
  bool connected_ = false;
};

}  // namespace trivet::pod
