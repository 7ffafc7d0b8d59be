// A std::stop_token for poll(2).
#pragma once

#include <functional>
#include <stop_token>

#include "base/unique_fd.h"

namespace trivet {

// Its descriptor becomes readable, and stays so, when the stop is requested. -1 when the token is
// of no source, or there are no descriptors left: then a stop is not noticed. One place: it is
// neither copied nor moved.
class StopFd {
 public:
  explicit StopFd(const std::stop_token& token);
  StopFd(const StopFd&) = delete;
  StopFd& operator=(const StopFd&) = delete;
  ~StopFd() = default;

  [[nodiscard]] int get() const { return fd_.get(); }

 private:
  UniqueFd fd_;  // outlives the callback, which writes to it
  std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace trivet
