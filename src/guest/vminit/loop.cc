#include "guest/vminit/loop.h"

#include <algorithm>
#include <array>
#include <vector>

namespace trivet::guest {

Result<Loop> Loop::create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("epoll_create1");
  return Loop(std::move(epoll));
}

Result<> Loop::watch(int fd, uint32_t events, Handler handler) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  handlers_[fd] = std::make_shared<Handler>(std::move(handler));
  return {};
}

Result<> Loop::change(int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void Loop::forget(int fd) {
  if (handlers_.erase(fd) != 0) (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Loop::TimerId Loop::after(std::chrono::milliseconds delay, std::function<void()> action) {
  timers_[++last_timer_] = Timer{.time = Clock::now() + delay, .action = std::move(action)};
  return last_timer_;
}

int Loop::next_timeout() const {
  if (timers_.empty()) return -1;
  const auto next = std::ranges::min_element(timers_, {}, [](const auto& timer) {
                      return timer.second.time;
                    })->second.time;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
  constexpr int64_t kLongest = 1 << 30;
  return static_cast<int>(std::clamp<int64_t>(left, 0, kLongest));
}

void Loop::run_timers() {
  const auto now = Clock::now();
  std::vector<TimerId> due;
  for (const auto& [id, timer] : timers_) {
    if (timer.time <= now) due.push_back(id);
  }
  for (const TimerId id : due) {
    const auto found = timers_.find(id);
    if (found == timers_.end()) continue;  // canceled by one before it
    const auto action = std::move(found->second.action);
    timers_.erase(found);
    action();
  }
}

Result<> Loop::turn() {
  std::array<epoll_event, 16> events{};
  const int count =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), next_timeout());
  if (count < 0 && errno != EINTR) return fail_errno("epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events.at(static_cast<size_t>(i));
    const auto found = handlers_.find(event.data.fd);
    if (found == handlers_.end()) continue;  // forgotten by a handler before it
    const std::shared_ptr<Handler> handler = found->second;
    (*handler)(event.events);
  }
  run_timers();
  return {};
}

}  // namespace trivet::guest
