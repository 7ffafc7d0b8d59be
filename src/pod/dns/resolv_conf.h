// Which servers answer what a pod does not know itself.
#pragma once

#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

#include "base/result.h"

namespace trivet::dns {

struct Upstream {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::string name;  // as it was written
};

// "10.0.0.1", "fd00::1", with another port than 53 as in dnsmasq: "127.0.0.1#5353".
Result<Upstream> parse_upstream(std::string_view text);
// Separated by blanks: the settings of the extension.
Result<std::vector<Upstream>> parse_upstreams(std::string_view text);
// The nameserver lines of a resolv.conf (resolv.conf(5)), three at most; others are left alone.
[[nodiscard]] std::vector<Upstream> find_upstreams(std::string_view resolv_conf);

}  // namespace trivet::dns
