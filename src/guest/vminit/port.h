// The agent's end of the protocol: frames in from the virtio-serial port, frames out to it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/protocol.h"

namespace trivet::guest {

// The port is opened once and never closed: what has arrived but was not read would be discarded
// by the kernel. Reading and writing never block.
class Port {
 public:
  explicit Port(UniqueFd fd) : fd_(std::move(fd)) {}

  [[nodiscard]] int fd() const { return fd_.get(); }

  // Queues a frame; flush() writes as much as the port takes.
  void send(std::string_view frame) { queue_.append(frame); }
  Result<> flush();
  [[nodiscard]] size_t queued() const { return queue_.size() - sent_; }
  // Writes everything, as far as it is taken before the time is over.
  void drain(std::chrono::milliseconds patience);

  // What reading gave: kNothing for now, or kClosed when the host's end is.
  enum class Read { kSome, kNothing, kClosed };
  Result<Read> read();
  Result<std::optional<Frame>> next() { return reader_.next(); }

 private:
  UniqueFd fd_;
  FrameReader reader_{Direction::kToGuest};
  std::string queue_;
  size_t sent_ = 0;  // of queue_
};

}  // namespace trivet::guest
