// "localhost" of a guest that is one of several containers of a pod: what the guest is told of it,
// by an annotation of its container's configuration.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::guest {

inline constexpr const char* kPodLoopbackAnnotation = "dev.trivet.vm.pod-loopback";

// Addresses are IPv4, in network order, as the kernel has them.
struct PodLoopback {
  uint32_t gateway = 0;  // leads to 127.0.0.1 of the pod
  uint32_t own = 0;      // the guest's address, which is the pod's
  // TCP ports of this guest that the pod's namespace already has for it: a connection to one that
  // nobody listens at is refused here, and would come back from there.
  std::vector<uint16_t> own_ports;
  friend bool operator==(const PodLoopback&, const PodLoopback&) = default;
};

// "169.254.1.2 192.0.2.1 80 443": gateway, own address, ports.
[[nodiscard]] std::string print_pod_loopback(const PodLoopback& loopback);
// kInvalidArgument says what is wrong.
Result<PodLoopback> parse_pod_loopback(std::string_view text);
// An address as text; kInvalidArgument.
Result<uint32_t> parse_ipv4(std::string_view text);

}  // namespace trivet::guest
