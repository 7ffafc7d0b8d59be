// rtnetlink(7), as far as an interface is configured with it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::guest {

// One request to the kernel: a header of its kind, and attributes.
class NetlinkRequest {
 public:
  template <typename Header>
  NetlinkRequest(uint16_t type, uint16_t flags, const Header& header) {
    begin(type, flags, &header, sizeof header);
  }
  void add(uint16_t type, std::string_view value);
  void add_u32(uint16_t type, uint32_t value);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  void begin(uint16_t type, uint16_t flags, const void* header, size_t size);
  std::string bytes_;
};

class NetlinkSocket {
 public:
  static Result<NetlinkSocket> open();
  // Sends it and waits for the kernel's acknowledgement. `what` names it in the error.
  Result<> request(const NetlinkRequest& request, std::string_view what);

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace trivet::guest
