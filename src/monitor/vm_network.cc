#include "monitor/vm_network.h"

#include "net/network.h"

namespace trivet::monitor {

guest::Interface vm_interface() {
  return {.mac = net::kVmMac,
          .mtu = net::kVmMtu,
          .addresses = {fmt::format("{}/{}", net::kVmAddress, net::kVmPrefix)},
          .routes = {{.destination = "0.0.0.0/0", .gateway = net::kVmGateway}},
          .completes_handshakes = true};
}

}  // namespace trivet::monitor
