// The loop of the agent: descriptors through epoll(7), and deadlines. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <sys/epoll.h>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::guest {

class Loop {
 public:
  using Clock = std::chrono::steady_clock;
  using Handler = std::function<void(uint32_t events)>;
  using TimerId = uint64_t;

  static Result<Loop> create();

  // Calls `handler` whenever one of `events` (EPOLLIN, …) is there, until forget(). A handler may
  // watch and forget anything, itself included.
  Result<> watch(int fd, uint32_t events, Handler handler);
  Result<> change(int fd, uint32_t events);
  void forget(int fd);

  // Calls `action` once; cancel() of one that has run already does nothing.
  TimerId after(std::chrono::milliseconds delay, std::function<void()> action);
  void cancel(TimerId timer) { timers_.erase(timer); }

  // Waits for what comes next, once, and handles it.
  Result<> turn();

 private:
  struct Timer {
    Clock::time_point time;
    std::function<void()> action;
  };

  explicit Loop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  [[nodiscard]] int next_timeout() const;
  void run_timers();

  UniqueFd epoll_;
  std::map<int, std::shared_ptr<Handler>> handlers_;
  std::map<TimerId, Timer> timers_;
  TimerId last_timer_ = 0;
};

}  // namespace trivet::guest
