#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/text.h"
#include "net/network.h"

namespace trivet::net {

namespace {

constexpr std::array kModeNames{"pasta", "none", "host", "container", "ns"};

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  [[nodiscard]] int size() const { return last - first + 1; }
};

Result<uint16_t> parse_port(std::string_view text) {
  constexpr int64_t kLast = 65535;
  const auto number = parse_int(text);
  if (!number || *number < 1 || *number > kLast) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not a port number (1 to 65535)", text);
  }
  return static_cast<uint16_t>(*number);
}

Result<PortRange> parse_range(std::string_view text) {
  const size_t dash = text.find('-');
  const uint16_t first = TRY(parse_port(text.substr(0, dash)));
  if (dash == std::string_view::npos) return PortRange{.first = first, .last = first};
  const uint16_t last = TRY(parse_port(text.substr(dash + 1)));
  if (last < first) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\": a port range must ascend", text);
  }
  return PortRange{.first = first, .last = last};
}

bool is_address(const std::string& text) {
  in6_addr buffer{};
  return inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

// Takes "ADDRESS:" or "[ADDRESS]:" off the front of `text`.
Result<std::string> take_address(std::string_view& text) {
  std::string address;
  if (text.starts_with('[')) {
    const size_t close = text.find("]:");
    if (close == std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, "\"{}\": no \"]:\" after the address", text);
    }
    address = text.substr(1, close - 1);
    text.remove_prefix(close + 2);
  } else {
    if (std::ranges::count(text, ':') < 2) return address;
    const size_t colon = text.find(':');
    address = text.substr(0, colon);
    text.remove_prefix(colon + 1);
    if (address.empty()) return address;
  }
  if (!is_address(address)) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not an IP address", address);
  }
  return address;
}

Result<std::string> take_protocol(std::string_view& text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return "tcp";
  std::string protocol(text.substr(slash + 1));
  text = text.substr(0, slash);
  if (protocol != "tcp" && protocol != "udp") {
    return fail(ErrorCode::kInvalidArgument, "protocol \"{}\" can't be published: tcp or udp",
                protocol);
  }
  return protocol;
}

Result<std::vector<PortMapping>> expand(std::string_view text) {
  const std::string protocol = TRY(take_protocol(text));
  const std::string address = TRY(take_address(text));
  const size_t colon = text.find(':');
  const bool has_host = colon != std::string_view::npos;
  const PortRange inside = TRY(parse_range(has_host ? text.substr(colon + 1) : text));
  PortRange outside{};
  const bool chosen = has_host && colon > 0;
  if (chosen) {
    outside = TRY(parse_range(text.substr(0, colon)));
    if (outside.size() != inside.size()) {
      return fail(ErrorCode::kInvalidArgument, "the two port ranges differ in length");
    }
  }
  std::vector<PortMapping> mappings;
  for (int i = 0; i < inside.size(); ++i) {
    mappings.push_back({.host_ip = address,
                        .host_port = static_cast<uint16_t>(chosen ? outside.first + i : 0),
                        .container_port = static_cast<uint16_t>(inside.first + i),
                        .protocol = protocol});
  }
  return mappings;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Address make_address(const std::string& ip, int family, uint16_t port) {
  Address address;
  if (family == AF_INET) {
    sockaddr_in in{.sin_family = AF_INET, .sin_port = htons(port)};
    if (!ip.empty()) inet_pton(AF_INET, ip.c_str(), &in.sin_addr);
    std::memcpy(&address.storage, &in, sizeof in);
    address.length = sizeof in;
  } else {
    sockaddr_in6 in{.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (!ip.empty()) inet_pton(AF_INET6, ip.c_str(), &in.sin6_addr);
    std::memcpy(&address.storage, &in, sizeof in);
    address.length = sizeof in;
  }
  return address;
}

std::unexpected<Error> bind_failed(const PortMapping& port, int errnum) {
  const std::string name = fmt::format("{}{}{}/{}", port.host_ip, port.host_ip.empty() ? "" : ":",
                                       port.host_port, port.protocol);
  if (errnum == EADDRINUSE) {
    return std::unexpected(
        Error(ErrorCode::kAlreadyExists, fmt::format("port {} is already in use on the host", name))
            .hint("choose another host port, or leave it out to get a free one"));
  }
  if (errnum == EADDRNOTAVAIL) {
    return fail(ErrorCode::kInvalidArgument, "port {}: {} is not an address of this host", name,
                port.host_ip);
  }
  return std::unexpected(Error::from_errno(errnum, fmt::format("bind port {}", name)));
}

// Binds the port of one address family and keeps it: the returned descriptor reserves it. A family
// that the host lacks is fine where no address was asked for: an invalid descriptor.
Result<UniqueFd> bind_port(const PortMapping& port, int family) {
  const bool tcp = port.protocol == "tcp";
  UniqueFd fd(::socket(family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (!fd) {
    if (errno == EAFNOSUPPORT && port.host_ip.empty()) return UniqueFd();
    return fail_errno("socket");
  }
  const int on = 1;
  // As pasta does: a TCP port in TIME_WAIT counts as free. For UDP it would allow sharing.
  if (tcp) (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) (void)::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const Address address = make_address(port.host_ip, family, port.host_port);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0) {
    const int errnum = errno;
    if (errnum == EADDRNOTAVAIL && family == AF_INET6 && port.host_ip.empty()) return UniqueFd();
    return bind_failed(port, errnum);
  }
  // SO_REUSEADDR lets two sockets bind the same port as long as neither listens.
  if (tcp && ::listen(fd.get(), 0) != 0) return bind_failed(port, errno);
  return fd;
}

Result<uint16_t> bound_port(int fd) {
  sockaddr_in6 address{};  // both families have the port at the same place
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return fail_errno("getsockname");
  }
  return ntohs(address.sin6_port);
}

Result<> reserve(PortMapping& port, std::vector<UniqueFd>& held) {
  const bool v6_only = port.host_ip.find(':') != std::string::npos;
  UniqueFd first = TRY(bind_port(port, v6_only ? AF_INET6 : AF_INET));
  if (port.host_port == 0) port.host_port = TRY(bound_port(first.get()));
  held.push_back(std::move(first));
  if (port.host_ip.empty()) held.push_back(TRY(bind_port(port, AF_INET6)));
  return {};
}

}  // namespace

const char* mode_name(Mode mode) {
  return kModeNames.at(static_cast<size_t>(mode));
}

Result<Network> parse_network(std::string_view text) {
  if (text == "pasta") return Network{.mode = Mode::kPasta};
  if (text == "none") return Network{.mode = Mode::kNone};
  if (text == "host") return Network{.mode = Mode::kHost};
  constexpr std::string_view kContainer = "container:";
  constexpr std::string_view kPath = "ns:";
  if (text.starts_with(kContainer) && text.size() > kContainer.size()) {
    return Network{.mode = Mode::kContainer, .target = std::string(text.substr(kContainer.size()))};
  }
  if (text.starts_with(kPath)) {
    const std::string_view path = text.substr(kPath.size());
    if (!path.starts_with('/')) {
      return fail(ErrorCode::kInvalidArgument,
                  "network \"{}\": the path of the namespace must be absolute", text);
    }
    return Network{.mode = Mode::kPath, .target = std::string(path)};
  }
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("unknown network \"{}\"", text))
          .hint("known networks are pasta, none, host, container:NAME and ns:/PATH"));
}

Result<std::vector<PortMapping>> parse_publish(std::string_view text) {
  auto mappings = expand(text);
  if (mappings) return mappings;
  return std::unexpected(std::move(mappings.error())
                             .in(fmt::format("publish \"{}\"", text))
                             .hint("the form is [ADDRESS:][HOST_PORT:]CONTAINER_PORT[/tcp|/udp]"));
}

std::string format_port(const PortMapping& port) {
  const bool v6 = port.host_ip.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}->{}/{}", v6 ? "[" : "",
                     port.host_ip.empty() ? "0.0.0.0" : port.host_ip, v6 ? "]" : "", port.host_port,
                     port.container_port, port.protocol);
}

Result<> choose_ports(std::vector<PortMapping>& ports) {
  std::vector<UniqueFd> held;  // all at once, so that no port is chosen twice
  for (PortMapping& port : ports) {
    if (port.host_port != 0) TRY(reserve(port, held));
  }
  constexpr int kAttempts = 16;
  for (PortMapping& port : ports) {
    if (port.host_port != 0) continue;
    // A port that is free for IPv4 may be taken for IPv6: then another one is tried.
    Result<> done;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      port.host_port = 0;
      done = reserve(port, held);
      if (done || done.error().code() != ErrorCode::kAlreadyExists) break;
    }
    TRY(std::move(done));
  }
  return {};
}

}  // namespace trivet::net
