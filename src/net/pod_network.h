// The network of a virtual machine that is one of several containers of a pod: all it has is the
// pod's. What it sends comes out of the pod's network namespace, and it has the pod's address.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "net/network.h"

namespace trivet::net {

struct PodNetwork {
  int network_namespace = -1;           // stays the caller's
  std::string address;                  // of the pod, IPv4
  std::vector<PortMapping> ports = {};  // of the pod's namespace that lead to the machine
};

// Who connects to this address from the machine comes to the loopback of the pod's namespace.
inline constexpr const char* kPodLoopback = "169.254.1.2";

// Name servers are those that the pod's other containers ask, by the same addresses. The pod's
// network has to be up. kAlreadyExists: another container of the pod has one of the ports.
Result<PasstNetwork> start_passt_in_pod(const PodNetwork& pod);

}  // namespace trivet::net
