// Moving network devices of the host into a container (runtime-spec: config-linux.md, Network
// Devices). With ip(8) of iproute2 and nsenter(1) of util-linux: it is rare, and rtnetlink is
// theirs.
#pragma once

#include <map>
#include <string>
#include <sys/types.h>

#include "base/result.h"

namespace trivet {

// Moves each device (host name -> name in the container, empty: the same) into the network
// namespace of `pid`, with its permanent global addresses, and brings it up. When that namespace
// goes, the kernel gives physical devices back to the host and destroys virtual ones.
Result<> move_net_devices(const std::map<std::string, std::string>& devices, pid_t pid);

}  // namespace trivet
