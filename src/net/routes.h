// Where the host's default routes lead.
#pragma once

#include <string>
#include <string_view>

namespace trivet::net {

// The interface of the first default route in the text of /proc/net/route or /proc/net/ipv6_route;
// empty when there is none.
[[nodiscard]] std::string find_default_interface_v4(std::string_view table);
[[nodiscard]] std::string find_default_interface_v6(std::string_view table);

// The host's address on that interface, IPv4 first; empty when it has no default route: then pasta
// needs to be told everything (spawn_pasta() does).
[[nodiscard]] std::string host_address();

}  // namespace trivet::net
