// The network of a microVM behind passt: net/network.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/messages.h"
#include "net/network.h"
#include "oci/spec.h"

namespace trivet::monitor {

// The guest's side of what net::start_passt() gives it.
[[nodiscard]] guest::Interface vm_interface();

// A microVM that is one of several containers of a pod has the pod's network and host name, not
// those of a namespace: the guest is told. An annotation of its configuration has the ports that
// lead to it in the pod's network: "80/tcp 53/udp".
inline constexpr const char* kMachinePortsAnnotation = "dev.trivet.vm.ports";
[[nodiscard]] std::string print_machine_ports(const std::vector<net::PortMapping>& ports);
Result<std::vector<net::PortMapping>> parse_machine_ports(std::string_view text);

// In the pod's directory, where names of containers are asked of an extension: the hosts file that
// has them, too, and the name servers for all others.
inline constexpr const char* kMachineHosts = "hosts.machine";
inline constexpr const char* kMachineResolver = "resolv.conf.machine";

// Starts its network, in the namespace at this path, and adds to the configuration what the guest
// has to know.
struct PodSurroundings {
  std::string network_namespace;
  std::string directory;  // DATA/pods/ID
};
Result<net::PasstNetwork> join_pod(const PodSurroundings& pod, oci::Spec& spec);
// The guest's side of that.
[[nodiscard]] guest::Interface pod_vm_interface();

}  // namespace trivet::monitor
