#include "linux/rtnetlink.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <sys/socket.h>
#include <vector>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

namespace trivet {

namespace {

void pad(std::string& bytes) {
  bytes.resize(NLMSG_ALIGN(bytes.size()));
}

}  // namespace

void NetlinkRequest::begin(uint16_t type, uint16_t flags, const void* header, size_t size) {
  nlmsghdr message{};
  message.nlmsg_type = type;
  message.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  bytes_.append(reinterpret_cast<const char*>(&message), sizeof message);
  bytes_.append(static_cast<const char*>(header), size);
  pad(bytes_);
}

void NetlinkRequest::add(uint16_t type, std::string_view value) {
  rtattr attribute{};
  attribute.rta_type = type;
  attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(value.size()));
  bytes_.append(reinterpret_cast<const char*>(&attribute), sizeof attribute);
  bytes_.append(value);
  pad(bytes_);
}

void NetlinkRequest::add_u32(uint16_t type, uint32_t value) {
  add(type, {reinterpret_cast<const char*>(&value), sizeof value});
}

void NetlinkRequest::add_nested(uint16_t type, const std::function<void()>& fill) {
  const size_t begin = bytes_.size();
  add(type | NLA_F_NESTED, {});
  fill();
  const auto size = static_cast<uint16_t>(bytes_.size() - begin);
  std::memcpy(bytes_.data() + begin + offsetof(rtattr, rta_len), &size, sizeof size);
}

std::string_view NetlinkMessage::find_attribute(size_t header_size, uint16_t type) const {
  std::string_view rest = payload_;
  rest.remove_prefix(std::min(rest.size(), NLMSG_ALIGN(header_size)));
  rtattr attribute{};
  while (rest.size() >= sizeof attribute) {
    std::memcpy(&attribute, rest.data(), sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > rest.size()) break;
    if ((attribute.rta_type & NLA_TYPE_MASK) == type) {
      return rest.substr(RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0));
    }
    rest.remove_prefix(std::min<size_t>(rest.size(), RTA_ALIGN(attribute.rta_len)));
  }
  return {};
}

Result<NetlinkSocket> NetlinkSocket::open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return fail_errno("socket AF_NETLINK");
  return NetlinkSocket(std::move(fd));
}

Result<> NetlinkSocket::send(const NetlinkRequest& request, std::string_view what) const {
  std::string bytes = request.bytes();
  const auto size = static_cast<uint32_t>(bytes.size());
  std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_len), &size, sizeof size);
  if (::send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) return fail_errno("{}", what);
  return {};
}

Result<> NetlinkSocket::request(const NetlinkRequest& request, std::string_view what) {
  TRY(send(request, what));
  alignas(nlmsghdr) std::array<char, 8192> answer{};
  const ssize_t count = ::recv(fd_.get(), answer.data(), answer.size(), 0);
  if (count < 0) return fail_errno("{}", what);
  nlmsghdr header{};
  nlmsgerr error{};
  if (static_cast<size_t>(count) < NLMSG_LENGTH(sizeof error)) {
    return fail(ErrorCode::kSystem, "{}: the kernel's answer is cut off", what);
  }
  std::memcpy(&header, answer.data(), sizeof header);
  std::memcpy(&error, answer.data() + NLMSG_HDRLEN, sizeof error);
  if (header.nlmsg_type != NLMSG_ERROR) {
    return fail(ErrorCode::kSystem, "{}: unexpected answer of the kernel", what);
  }
  if (error.error == 0) return {};
  return std::unexpected(Error::from_errno(-error.error, std::string(what)));
}

Result<> NetlinkSocket::list(const NetlinkRequest& request, std::string_view what,
                             const std::function<void(const NetlinkMessage&)>& each) {
  constexpr size_t kBufferSize = 64U << 10U;  // more than the kernel puts into one datagram
  TRY(send(request, what));
  std::vector<char> buffer(kBufferSize);
  for (;;) {
    const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0) return fail_errno("{}", what);
    std::string_view rest(buffer.data(), static_cast<size_t>(count));
    nlmsghdr header{};
    while (rest.size() >= sizeof header) {
      std::memcpy(&header, rest.data(), sizeof header);
      if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > rest.size()) break;
      if (header.nlmsg_type == NLMSG_DONE) return {};
      const std::string_view payload = rest.substr(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
      if (header.nlmsg_type == NLMSG_ERROR) {
        nlmsgerr error{};
        std::memcpy(&error, payload.data(), std::min(payload.size(), sizeof error.error));
        return std::unexpected(Error::from_errno(-error.error, std::string(what)));
      }
      each(NetlinkMessage(header.nlmsg_type, payload));
      rest.remove_prefix(std::min<size_t>(rest.size(), NLMSG_ALIGN(header.nlmsg_len)));
    }
  }
}

}  // namespace trivet
