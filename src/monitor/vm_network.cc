#include "monitor/vm_network.h"

#include <algorithm>
#include <fcntl.h>

#include "base/fs.h"
#include "base/text.h"
#include "guest/pod_loopback.h"
#include "net/pod_network.h"

namespace trivet::monitor {

namespace {

// passt's guests have IPv4 only.
std::string pod_address() {
  std::string address = net::pasta_address();
  return address.find(':') == std::string::npos ? address : net::kVmAddress;
}

Result<std::vector<net::PortMapping>> ports_of(const oci::Spec& spec) {
  const auto annotation = spec.annotations.find(kMachinePortsAnnotation);
  if (annotation == spec.annotations.end()) return std::vector<net::PortMapping>();
  return parse_machine_ports(annotation->second);
}

Result<std::string> describe_loopback(const net::PodNetwork& network) {
  guest::PodLoopback loopback {
    .gateway = TRY(guest::parse_ipv4(net::kPodLoopback))
    , .own = TRY(guest::parse_ipv4(network.address))
  };
  for (const net::PortMapping& port : network.ports) {
    if (port.protocol == "tcp") loopback.own_ports.push_back(port.container_port);
  }
  return print_pod_loopback(loopback);
}

// No name server of the pod's own is in its reach.
void replace_discovery(const std::string& directory, oci::Spec& spec) {
  const std::string hosts = fmt::format("{}/{}", directory, kMachineHosts);
  if (!exists(hosts)) return;
  for (oci::Mount& mount : spec.mounts) {
    if (mount.source == directory + "/hosts") mount.source = hosts;
    if (mount.source == directory + "/resolv.conf") {
      mount.source = fmt::format("{}/{}", directory, kMachineResolver);
    }
  }
}

}  // namespace

std::string print_machine_ports(const std::vector<net::PortMapping>& ports) {
  std::vector<std::string> words;
  for (const net::PortMapping& port : ports) {
    words.push_back(fmt::format("{}/{}", port.container_port, port.protocol));
  }
  return join(words, " ");
}

Result<std::vector<net::PortMapping>> parse_machine_ports(std::string_view text) {
  std::vector<net::PortMapping> ports;
  if (text.empty()) return ports;
  for (const std::string& word : split(text, ' ')) {
    const size_t slash = std::min(word.find('/'), word.size());
    const auto number = parse_int(std::string_view(word).substr(0, slash));
    const std::string protocol = slash == word.size() ? "" : word.substr(slash + 1);
    if (!number || *number < 1 || *number > UINT16_MAX ||
        (protocol != "tcp" && protocol != "udp")) {
      return fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is not PORT/tcp or PORT/udp",
                  kMachinePortsAnnotation, word);
    }
    const auto port = static_cast<uint16_t>(*number);
    ports.push_back(
        {.host_ip = {}, .host_port = port, .container_port = port, .protocol = protocol});
  }
  return ports;
}

Result<net::PasstNetwork> join_pod(const PodSurroundings& pod, oci::Spec& spec) {
  const UniqueFd network_namespace = TRY(open_file(pod.network_namespace, O_RDONLY));
  const net::PodNetwork network {
    .network_namespace = network_namespace.get(), .address = pod_address(),
    .ports = TRY(ports_of(spec))
  };
  spec.hostname = trim(TRY(read_file(pod.directory + "/hostname")));
  replace_discovery(pod.directory, spec);
  spec.annotations[guest::kPodLoopbackAnnotation] = TRY(describe_loopback(network));
  return net::start_passt_in_pod(network);
}

guest::Interface pod_vm_interface() {
  return {.mac = net::kVmMac,
          .mtu = net::kVmMtu,
          .addresses = {pod_address() + "/32"},
          .routes = {{.destination = "0.0.0.0/0", .gateway = net::kPodLoopback}},
          .completes_handshakes = true};
}

guest::Interface vm_interface() {
  return {.mac = net::kVmMac,
          .mtu = net::kVmMtu,
          .addresses = {fmt::format("{}/{}", net::kVmAddress, net::kVmPrefix)},
          .routes = {{.destination = "0.0.0.0/0", .gateway = net::kVmGateway}},
          .completes_handshakes = true};
}

}  // namespace trivet::monitor
