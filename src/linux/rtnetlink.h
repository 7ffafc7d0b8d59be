// rtnetlink(7): requests to the kernel's network configuration, and lists of what there is.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// One request to the kernel: a header of its kind, and attributes.
class NetlinkRequest {
 public:
  template <typename Header>
  NetlinkRequest(uint16_t type, uint16_t flags, const Header& header) {
    begin(type, flags, &header, sizeof header);
  }
  void add(uint16_t type, std::string_view value);
  void add_u32(uint16_t type, uint32_t value);
  template <typename Value>
  void add_struct(uint16_t type, const Value& value) {
    add(type, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  // What `fill` adds becomes the value of one attribute.
  void add_nested(uint16_t type, const std::function<void()>& fill);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  void begin(uint16_t type, uint16_t flags, const void* header, size_t size);
  std::string bytes_;
};

// One message of a list: its header of type Header, and its attributes.
class NetlinkMessage {
 public:
  NetlinkMessage(uint16_t type, std::string_view payload) : type_(type), payload_(payload) {}
  [[nodiscard]] uint16_t type() const { return type_; }
  // Zeroes when the message is too short.
  template <typename Header>
  [[nodiscard]] Header header() const {
    Header header{};
    if (payload_.size() >= sizeof header) std::memcpy(&header, payload_.data(), sizeof header);
    return header;
  }
  // The value of the first attribute of that type; empty: there is none.
  template <typename Header>
  [[nodiscard]] std::string_view attribute(uint16_t type) const {
    return find_attribute(sizeof(Header), type);
  }

 private:
  [[nodiscard]] std::string_view find_attribute(size_t header_size, uint16_t type) const;
  uint16_t type_;
  std::string_view payload_;
};

class NetlinkSocket {
 public:
  static Result<NetlinkSocket> open();
  // Sends it and waits for the kernel's acknowledgement. `what` names it in the error.
  Result<> request(const NetlinkRequest& request, std::string_view what);
  // Calls `each` for every message of the answer to RTM_GET… with NLM_F_DUMP.
  Result<> list(const NetlinkRequest& request, std::string_view what,
                const std::function<void(const NetlinkMessage&)>& each);

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<> send(const NetlinkRequest& request, std::string_view what) const;
  UniqueFd fd_;
};

}  // namespace trivet
