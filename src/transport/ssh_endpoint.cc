#include "transport/ssh_endpoint.h"

#include <algorithm>
#include <arpa/inet.h>
#include <limits>
#include <string>

#include "base/text.h"
#include "transport/characters.h"

namespace trivet {

namespace transport {

namespace {

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

// RFC 1123, 2.1, and IPv4 addresses. What has a "-" first is an option to ssh, what has a "%" is
// expanded by it.
bool is_host_name(std::string_view host) {
  constexpr size_t kLongest = 253;
  const auto allowed = [](char c) { return is_alphanumeric(c) || c == '-' || c == '.'; };
  return !host.empty() && host.size() <= kLongest && std::ranges::all_of(host, allowed) &&
         is_alphanumeric(host.front()) && is_alphanumeric(host.back());
}

bool is_loopback(const std::string& host) {
  in6_addr address{};
  if (inet_pton(AF_INET6, host.c_str(), &address) == 1) return IN6_IS_ADDR_LOOPBACK(&address);
  in_addr address4{};
  constexpr uint32_t kNet = 127;
  constexpr uint32_t kHostBits = 24;
  if (inet_pton(AF_INET, host.c_str(), &address4) == 1) {
    return ntohl(address4.s_addr) >> kHostBits == kNet;
  }
  return host == "localhost";
}

}  // namespace

Result<> check_endpoint(const SshEndpoint& endpoint, SshReach reach) {
  if (endpoint.host.find('\0') != std::string::npos ||
      (!is_ipv6(endpoint.host) && !is_host_name(endpoint.host))) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no name or address of a host",
                endpoint.host);
  }
  if (endpoint.port == 0) {
    return fail(ErrorCode::kInvalidArgument, "the guest's SSH port is 0: 1 to 65535 are ports");
  }
  if (reach == SshReach::kLoopback && !is_loopback(endpoint.host)) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" is not on this host's loopback interface", endpoint.host))
            .hint("guests elsewhere have to be allowed: SshReach::kAnyHost"));
  }
  return {};
}

Result<> check_user(std::string_view user) {
  constexpr size_t kLongest = 32;  // useradd(8)
  const auto allowed = [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '-' || c == '.';
  };
  if (!user.empty() && user.size() <= kLongest && std::ranges::all_of(user, allowed) &&
      user.front() != '-') {
    return {};
  }
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no name of a user", user))
          .hint("over SSH a user has a name, such as \"dev\" or \"root\", and no group"));
}

}  // namespace transport

Result<SshEndpoint> SshEndpoint::parse(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("endpoint \"{}\": {}", text, why))
            .hint("an endpoint is HOST:PORT, such as 127.0.0.1:2222 or [::1]:2222"));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("there is no port");
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.contains(':')) return wrong("an IPv6 address stands in brackets");
  const auto port = parse_int(text.substr(colon + 1));
  if (!port || *port < 1 || *port > std::numeric_limits<uint16_t>::max()) {
    return wrong("the port is none of 1 to 65535");
  }
  SshEndpoint endpoint{.host = std::string(host), .port = static_cast<uint16_t>(*port)};
  if (bracketed && !transport::is_ipv6(endpoint.host)) return wrong("that is no IPv6 address");
  if (auto checked = transport::check_endpoint(endpoint, SshReach::kAnyHost); !checked) {
    return wrong(checked.error().message());
  }
  return endpoint;
}

}  // namespace trivet
