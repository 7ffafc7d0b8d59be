#include "pod/dns/resolv_conf.h"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>

#include "base/printable.h"
#include "base/text.h"

namespace trivet::dns {

namespace {

constexpr size_t kMaxServers = 3;
constexpr uint16_t kPort = 53;

// Words between blanks and tabs.
std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  for (size_t begin = 0; (begin = text.find_first_not_of(" \t\r\n", begin)) != text.npos;) {
    const size_t end = std::min(text.find_first_of(" \t\r\n", begin), text.size());
    found.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return found;
}

}  // namespace

Result<Upstream> parse_upstream(std::string_view text) {
  const size_t mark = std::min(text.find('#'), text.size());
  const std::string host(text.substr(0, mark));
  int64_t port = kPort;
  if (mark < text.size()) port = parse_int(text.substr(mark + 1)).value_or(0);
  Upstream upstream{.name = std::string(text)};
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  const bool valid_port = port >= 1 && port <= 65535;
  const auto number = htons(static_cast<uint16_t>(port));
  if (valid_port && inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = number;
    upstream.size = sizeof v4;
    std::memcpy(&upstream.address, &v4, sizeof v4);
    return upstream;
  }
  if (valid_port && inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = number;
    upstream.size = sizeof v6;
    std::memcpy(&upstream.address, &v6, sizeof v6);
    return upstream;
  }
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is no server: an IP address is, or ADDRESS#PORT",
              printable(text));
}

Result<std::vector<Upstream>> parse_upstreams(std::string_view text) {
  std::vector<Upstream> upstreams;
  for (const std::string& word : words(text)) upstreams.push_back(TRY(parse_upstream(word)));
  if (upstreams.size() > kMaxServers) {
    return fail(ErrorCode::kInvalidArgument, "more than {} servers", kMaxServers);
  }
  return upstreams;
}

std::vector<Upstream> find_upstreams(std::string_view resolv_conf) {
  std::vector<Upstream> upstreams;
  for (const std::string& line : split(resolv_conf, '\n')) {
    const std::vector<std::string> parts = words(line);
    if (parts.size() < 2 || parts[0] != "nameserver" || parts[1].contains('#')) continue;
    auto upstream = parse_upstream(parts[1]);
    if (upstream && upstreams.size() < kMaxServers) upstreams.push_back(std::move(*upstream));
  }
  return upstreams;
}

}  // namespace trivet::dns
