#include "base/event_loop.h"

#include <algorithm>
#include <array>

namespace trivet {

Result<EventLoop> EventLoop::create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("epoll_create1");
  return EventLoop(std::move(epoll));
}

Result<> EventLoop::watch(int fd, uint32_t events, Handler handler) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  handlers_[fd] = std::make_shared<Handler>(std::move(handler));
  return {};
}

Result<> EventLoop::change(int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void EventLoop::forget(int fd) {
  if (handlers_.erase(fd) != 0) (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

int EventLoop::next_timeout() const {
  std::optional<Clock::time_point> next;
  for (const auto& [timer, deadline] : deadlines_) {
    if (!next || deadline.time < *next) next = deadline.time;
  }
  if (!next) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
  constexpr int64_t kLongest = 1 << 30;
  return static_cast<int>(std::clamp<int64_t>(left, 0, kLongest));
}

void EventLoop::run_timers() {
  const auto now = Clock::now();
  for (;;) {
    const auto due = std::ranges::find_if(
        deadlines_, [&](const auto& entry) { return entry.second.time <= now; });
    if (due == deadlines_.end()) return;
    const auto action = std::move(due->second.action);
    deadlines_.erase(due);
    action();
  }
}

Result<> EventLoop::turn() {
  std::array<epoll_event, 16> events{};
  const int count =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), next_timeout());
  if (count < 0 && errno != EINTR) return fail_errno("epoll_wait");
  for (int i = 0; i < count && !stopped_; ++i) {
    const epoll_event& event = events.at(static_cast<size_t>(i));
    const auto found = handlers_.find(event.data.fd);
    if (found == handlers_.end()) continue;  // forgotten by a handler before it
    const std::shared_ptr<Handler> handler = found->second;
    (*handler)(event.events);
  }
  if (!stopped_) run_timers();
  return {};
}

Result<> EventLoop::run() {
  stopped_ = false;
  while (!stopped_) TRY(turn());
  return {};
}

}  // namespace trivet
