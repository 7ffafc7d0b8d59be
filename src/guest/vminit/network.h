// The guest's network interfaces, as the host has decided them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/messages.h"

namespace trivet::guest {

// An address of either family and the length of its prefix.
struct Prefix {
  int family = 0;
  std::string bytes;  // 4 or 16, in network order
  unsigned length = 0;
};

// "10.0.2.15/24", "fd00::1/64"; without "/N" one address. kInvalidArgument otherwise.
Result<Prefix> parse_prefix(std::string_view text);
// "52:54:00:12:34:56" to its six bytes.
Result<std::string> parse_mac(std::string_view text);

// The n-th interface is given to the n-th Ethernet device that has the MAC it asks for, or else to
// the n-th there is: name, MAC, MTU, addresses, up, routes. The gateways are then asked for by ARP
// or neighbour discovery, since the other end of the device (passt, a bridge) may not know the
// guest before it has said something.
Result<> configure_network(const std::vector<Interface>& interfaces);

}  // namespace trivet::guest
