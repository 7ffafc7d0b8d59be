#include "trivet/reserved_port.h"

#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/unique_fd.h"

namespace trivet {

namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// Numeric addresses only: a name server may take long, and may say what it likes.
Result<Addresses> parse_host(const std::string& host) {
  const addrinfo wanted{.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
                        .ai_family = AF_UNSPEC,
                        .ai_socktype = SOCK_STREAM,
                        .ai_protocol = 0,
                        .ai_addrlen = 0,
                        .ai_addr = nullptr,
                        .ai_canonname = nullptr,
                        .ai_next = nullptr};
  const char* text = host == "localhost" ? "127.0.0.1" : host.c_str();
  addrinfo* found = nullptr;
  if (host.empty() || getaddrinfo(text, "0", &wanted, &found) != 0) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not an IP address", host);
  }
  return Addresses(found, &freeaddrinfo);
}

Result<UniqueFd> bind_free_port(const addrinfo& address) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  // Without SO_REUSEADDR: nobody else can bind the port, and nothing has to listen for that.
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return fd;
  if (errno != EADDRNOTAVAIL) return fail_errno("bind");
  return fail(ErrorCode::kInvalidArgument, "it is not an address of this host");
}

Result<uint16_t> port_of(int fd) {
  sockaddr_in6 address{};  // both families have the port at the same place
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return fail_errno("getsockname");
  }
  return ntohs(address.sin6_port);
}

}  // namespace

Result<ReservedPort> ReservedPort::reserve(const std::string& host) {
  const Addresses addresses = TRY_IN(parse_host(host), "reserve a port");
  UniqueFd fd = TRY_IN(bind_free_port(*addresses), "reserve a port of {}", host);
  const uint16_t port = TRY_IN(port_of(fd.get()), "reserve a port of {}", host);
  return ReservedPort(host, fd.release(), port);
}

ReservedPort& ReservedPort::operator=(ReservedPort&& other) noexcept {
  if (this == &other) return *this;
  close();
  host_ = std::move(other.host_);
  fd_ = std::exchange(other.fd_, -1);
  port_ = std::exchange(other.port_, uint16_t{0});
  return *this;
}

void ReservedPort::close() {
  UniqueFd(std::exchange(fd_, -1));
}

}  // namespace trivet
