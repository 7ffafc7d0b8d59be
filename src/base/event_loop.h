// A loop over descriptors through epoll(7), and a few named deadlines. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sys/epoll.h>
#include <type_traits>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Handler = std::function<void(uint32_t events)>;

  static Result<EventLoop> create();

  // Calls `handler` whenever one of `events` (EPOLLIN, …) is there, until forget(). A handler may
  // watch and forget anything, itself included.
  Result<> watch(int fd, uint32_t events, Handler handler);
  Result<> change(int fd, uint32_t events);
  void forget(int fd);

  // One deadline for each name, of an enum of the caller's; setting it again replaces it. Several
  // that share a loop have each their own deadlines, by their address as `owner`.
  template <typename Timer>
    requires std::is_enum_v<Timer>
  void set_timer(Timer timer, std::chrono::milliseconds delay, std::function<void()> action,
                 const void* owner = nullptr) {
    deadlines_[{owner, static_cast<int>(timer)}] =
        Deadline{Clock::now() + delay, std::move(action)};
  }
  template <typename Timer>
    requires std::is_enum_v<Timer>
  void clear_timer(Timer timer, const void* owner = nullptr) {
    deadlines_.erase({owner, static_cast<int>(timer)});
  }

  // Until stop() is called by a handler.
  Result<> run();
  // Waits for what comes next and handles it, once: for who has to do something in between.
  Result<> turn();
  void stop() { stopped_ = true; }

 private:
  struct Deadline {
    Clock::time_point time;
    std::function<void()> action;
  };

  explicit EventLoop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  [[nodiscard]] int next_timeout() const;
  void run_timers();

  UniqueFd epoll_;
  std::map<int, std::shared_ptr<Handler>> handlers_;
  std::map<std::pair<const void*, int>, Deadline> deadlines_;
  bool stopped_ = false;
};

}  // namespace trivet
