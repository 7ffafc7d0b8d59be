#include "guest/vminit/port.h"

#include <poll.h>
#include <unistd.h>

namespace trivet::guest {

Result<> Port::flush() {
  while (queued() > 0) {
    const ssize_t count = ::write(fd_.get(), queue_.data() + sent_, queued());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) return fail_errno("write to the agent's port");
    sent_ += static_cast<size_t>(count);
  }
  constexpr size_t kWorthMoving = 64U << 10U;
  if (queued() == 0) {
    queue_.clear();
    sent_ = 0;
  } else if (sent_ > kWorthMoving) {
    queue_.erase(0, sent_);
    sent_ = 0;
  }
  return {};
}

void Port::drain(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (queued() > 0 && std::chrono::steady_clock::now() < end) {
    if (!flush()) return;
    constexpr int kMoment = 20;
    pollfd entry{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    if (queued() > 0) (void)::poll(&entry, 1, kMoment);
  }
}

Result<Port::Read> Port::read() {
  constexpr size_t kBlock = 64U << 10U;
  char* space = reader_.space(kBlock);
  const ssize_t count = ::read(fd_.get(), space, reader_.space_size());
  if (count > 0) {
    reader_.added(static_cast<size_t>(count));
    return Read::kSome;
  }
  if (count == 0) return Read::kClosed;
  if (errno == EAGAIN || errno == EINTR) return Read::kNothing;
  return fail_errno("read from the agent's port");
}

}  // namespace trivet::guest
