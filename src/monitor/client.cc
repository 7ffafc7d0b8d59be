#include "monitor/client.h"

#include <sys/socket.h>

namespace trivet::monitor {

bool Client::try_send(std::string_view frame) {
  while (::send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno != EINTR) return errno != EAGAIN;
  }
  return true;
}

bool Client::send(std::string_view frame) {
  if (queue_.empty() && try_send(frame)) return true;
  if (!foreground() && queued_ + frame.size() > kMaxQueued) return false;
  queue_.emplace_back(frame);
  queued_ += frame.size();
  return true;
}

void Client::flush() {
  while (!queue_.empty() && try_send(queue_.front())) {
    queued_ -= queue_.front().size();
    queue_.pop_front();
  }
}

}  // namespace trivet::monitor
