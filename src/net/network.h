// Container networks: what `--network` and `-p` mean, pasta for the default mode, and the files
// under /etc that depend on them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::net {

enum class Mode { kPasta, kNone, kHost, kContainer, kPath };
[[nodiscard]] const char* mode_name(Mode mode);

// "pasta", "none", "host", "container:NAME", "ns:PATH". An unknown word is an error that lists
// them.
struct Network {
  Mode mode = Mode::kPasta;
  std::string target;  // kContainer: name or id; kPath: absolute path
};
Result<Network> parse_network(std::string_view text);

// With Debian 12's pasta (2023-03), a UDP port that has another number inside answers remote
// clients but not those on the host's own addresses: its loopback shortcut sends the replies
// astray.
struct PortMapping {
  std::string host_ip;  // empty: all addresses
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  std::string protocol = "tcp";  // or "udp"
  friend bool operator==(const PortMapping&, const PortMapping&) = default;
};

// Docker's -p: "80", "8080:80", "127.0.0.1:8080:80/udp", "[::1]:8080:80", "8000-8010:8000-8010",
// "127.0.0.1::80". A missing host port is 0: choose_ports() picks one.
Result<std::vector<PortMapping>> parse_publish(std::string_view text);
// "0.0.0.0:8080->80/tcp": for listings.
[[nodiscard]] std::string format_port(const PortMapping& port);

// Picks free host ports for those that are 0 and checks that the others can be bound:
// kAlreadyExists names the port. (Between the check and pasta's bind another program may take it:
// then pasta fails.)
Result<> choose_ports(std::vector<PortMapping>& ports);

struct PastaOptions {
  std::vector<PortMapping> ports;  // with host ports chosen
  std::string log_file;            // pasta's own log; empty: none
  std::string name;                // its argv[0], which ends in "pasta"; empty: the program's path
};

// A pasta process that is on its way: other work can go on until wait() is called. When the object
// goes before, pasta is ended.
class PastaStart {
 public:
  PastaStart(ProcessId process, UniqueFd pidfd, UniqueFd ready, UniqueFd errors,
             std::string log_file)
      : process_(process),
        pidfd_(std::move(pidfd)),
        ready_(std::move(ready)),
        errors_(std::move(errors)),
        log_file_(std::move(log_file)) {}
  PastaStart(PastaStart&&) noexcept = default;
  PastaStart(const PastaStart&) = delete;
  PastaStart& operator=(const PastaStart&) = delete;
  PastaStart& operator=(PastaStart&&) = delete;
  ~PastaStart();

  // Blocks until the network is up: outbound TCP, UDP and ICMP, and the published ports. kNetwork
  // with pasta's own words if it could not; kTimeout. Call it once.
  Result<ProcessId> wait(std::chrono::milliseconds timeout = std::chrono::seconds(20));

 private:
  std::unexpected<Error> failed();

  ProcessId process_;
  UniqueFd pidfd_;
  UniqueFd ready_;   // pasta writes its pid here when it is done (its --pid)
  UniqueFd errors_;  // pasta's stderr
  std::string log_file_;
};

// Connects the network namespace of process `pid` to the host through a pasta process, which is a
// child of the caller in a session of its own (reap it with stop_pasta()). `lo` of the namespace
// must be up. What is reachable is explicit: outbound by the host's routes, inbound the published
// ports. Nothing maps to the host's loopback: neither the gateway's address (--no-map-gw) nor ports
// that happen to be bound (-T none, -U none). On a host without a default route the namespace gets
// kIsolatedAddress, and only published ports work. pasta does not end with the namespace: it holds
// it. kUnsupported with a hint when pasta is not installed.
Result<PastaStart> spawn_pasta(pid_t pid, const PastaOptions& options);
// spawn_pasta() and wait().
Result<ProcessId> start_pasta(pid_t pid, const PastaOptions& options);
// Ends it and, if it is our child, reaps it; being gone already is fine. kAsync does not wait (it
// takes some 30 ms of kernel work; listening sockets are closed first) and leaves the reaping to
// the caller.
enum class StopWait { kSync, kAsync };
Result<> stop_pasta(const ProcessId& pasta, StopWait wait = StopWait::kSync);

// What passt(1) gives to a virtual machine: a network of its own behind the host's addresses.
inline constexpr const char* kVmAddress = "10.0.2.15";
inline constexpr int kVmPrefix = 24;
inline constexpr const char* kVmGateway = "10.0.2.2";
inline constexpr const char* kVmMac = "52:54:00:12:34:56";
inline constexpr uint32_t kVmMtu = 65520;  // as large as it can be: three times faster than 1500

// A passt process, and the socket of a network device's frames (QEMU's "-netdev stream").
struct PasstNetwork {
  ProcessId process;  // ends by itself when the socket's other side goes; stop_pasta() ends it too
  UniqueFd socket;
};
// The network of a virtual machine, with the reach of spawn_pasta(): outbound, the published ports,
// nothing of the host's loopback, and IPv4 only. Returns when the ports are bound.
Result<PasstNetwork> start_passt(const PastaOptions& options);
// For a device that is there already: `socket` is the other end of the pair that it has.
Result<ProcessId> start_passt_at(UniqueFd socket, const PastaOptions& options);

// What pasta gives out where the host itself has no route: link-local (RFC 3927).
inline constexpr const char* kIsolatedAddress = "169.254.2.1";
// Name server inside every pasta network: UDP port 53 is forwarded to the host's first resolver.
inline constexpr const char* kDnsForwarder = "169.254.1.1";

// /etc/hosts for a container: localhost names, the container's address (or 127.0.1.1 without one)
// with its names, and `extra` ("name:address"). There is no name for the host: none of its
// addresses leads to its loopback services.
struct HostsOptions {
  std::string hostname;
  std::string name;     // the container's
  std::string address;  // may be empty
  std::vector<std::string> extra;
};
Result<std::string> make_hosts_file(const HostsOptions& options);

// The container's address as pasta --config-net gives it: the host's own one on the interface of
// its default route (IPv4, else IPv6), else kIsolatedAddress.
[[nodiscard]] std::string pasta_address();

// /etc/resolv.conf: the host's without loopback name servers that a new namespace can't reach
// (replaced by kDnsForwarder with pasta), or `servers`, `searches` (a single "." clears) and
// `options` instead of the host's.
struct DnsOptions {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;
};
Result<std::string> make_resolv_conf(std::string_view host_file, Mode mode, const DnsOptions& dns);

}  // namespace trivet::net
