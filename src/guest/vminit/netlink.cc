#include "guest/vminit/netlink.h"

#include <array>
#include <cstring>
#include <sys/socket.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

namespace trivet::guest {

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

Result<NetlinkSocket> NetlinkSocket::open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return fail_errno("socket AF_NETLINK");
  return NetlinkSocket(std::move(fd));
}

Result<> NetlinkSocket::request(const NetlinkRequest& request, std::string_view what) {
  std::string bytes = request.bytes();
  const auto size = static_cast<uint32_t>(bytes.size());
  std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_len), &size, sizeof size);
  if (::send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) return fail_errno("{}", what);
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

}  // namespace trivet::guest
