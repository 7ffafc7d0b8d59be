#include "monitor/client.h"

#include <sys/socket.h>

namespace trivet::monitor {

Client::Sent Client::try_send(std::string_view frame) {
  for (;;) {
    if (::send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
      return Sent::kYes;
    }
    if (errno == EINTR) continue;
    return errno == EAGAIN ? Sent::kLater : Sent::kLost;
  }
}

bool Client::send(std::string_view frame) {
  const Sent sent = queue_.empty() ? try_send(frame) : Sent::kLater;
  if (sent != Sent::kLater) return sent == Sent::kYes;
  if (!foreground() && queued_ + frame.size() > kMaxQueued) return false;
  queue_.emplace_back(frame);
  queued_ += frame.size();
  return true;
}

bool Client::flush() {
  while (!queue_.empty()) {
    const Sent sent = try_send(queue_.front());
    if (sent == Sent::kLost) return false;
    if (sent == Sent::kLater) return true;
    queued_ -= queue_.front().size();
    queue_.pop_front();
  }
  return true;
}

}  // namespace trivet::monitor
