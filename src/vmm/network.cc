#include "vmm/network.h"

#include <array>
#include <sys/socket.h>

namespace trivet::vmm {

namespace {

using Kind = payload::microvm::Network::Kind;

// For a template, whose device is there and leads nowhere.
Result<Network> lead_nowhere() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail_errno("socketpair");
  }
  Network network;
  for (const int fd : fds) network.owned.emplace_back(fd);
  network.backends.push_back({.kind = NetBackend::Kind::kStream, .fd = fds[0]});
  return network;
}

}  // namespace

Result<Network> prepare_network(const Job& job) {
  Network network;
  switch (job.network.kind) {
    case Kind::kNone:
      return network;
    case Kind::kPasst:
      if (job.network.fd < 0) return lead_nowhere();
      network.backends.push_back({.kind = NetBackend::Kind::kStream, .fd = job.network.fd});
      network.owned.emplace_back(job.network.fd);
      return network;
    case Kind::kTap:
      break;
  }
  return fail(ErrorCode::kUnsupported, "tap networks are not there yet");
}

}  // namespace trivet::vmm
