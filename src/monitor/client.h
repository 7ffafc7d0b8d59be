// One client as its monitor sees it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "monitor/attach.h"

namespace trivet::monitor {

// Frames that can't be sent at once wait here. A client that takes part in the output and lets more
// than kMaxQueued bytes pile up is dropped, except the foreground one: the container waits for it.
class Client {
 public:
  enum class Kind { kConnected, kForeground };
  static constexpr size_t kMaxQueued = 1U << 20U;

  Client(UniqueFd fd, Kind kind) : fd_(std::move(fd)), kind_(kind) {}

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool foreground() const { return kind_ == Kind::kForeground; }
  [[nodiscard]] bool wants_output() const { return wants_output_ || foreground(); }
  void want_output() { wants_output_ = true; }
  void become_foreground() { kind_ = Kind::kForeground; }
  [[nodiscard]] bool waiting() const { return !queue_.empty(); }

  bool detached = false;  // kDetach came

  // False when it is too slow. What goes to a client that has closed its end is dropped: its last
  // frames (kDetach, input) may be unread still, and the end of them says that it has gone.
  bool send(std::string_view frame);
  void flush();

 private:
  // False when the socket is full.
  bool try_send(std::string_view frame);

  UniqueFd fd_;
  Kind kind_;
  bool wants_output_ = false;
  std::deque<std::string> queue_;
  size_t queued_ = 0;
};

}  // namespace trivet::monitor
