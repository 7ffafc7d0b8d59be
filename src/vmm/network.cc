#include "vmm/network.h"

#include <array>
#include <sys/socket.h>

#include "vmm/tap.h"

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

void add_tap(Network& network, UniqueFd fd) {
  network.backends.push_back({.kind = NetBackend::Kind::kTap, .fd = fd.get()});
  network.owned.push_back(std::move(fd));
}

// A machine with a template has exactly one device, with or without an interface behind it.
Result<Network> take_over(const Job& job) {
  Network network;
  const bool makes_template = job.mode == Job::Mode::kMakeTemplate;
  const auto found = makes_template ? std::vector<FoundInterface>{} : TRY(find_interfaces());
  if (job.saved && found.size() > 1) {
    return fail(ErrorCode::kUnsupported, "the template has one network device, and there are {}",
                found.size());
  }
  for (size_t i = 0; i < found.size(); ++i) {
    Tap tap = TRY(join_interface(found[i], i));
    network.interfaces.push_back(std::move(tap.interface));
    add_tap(network, std::move(tap.fd));
  }
  if (job.saved && found.empty()) add_tap(network, TRY(make_tap(0)));
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
      return take_over(job);
  }
  return network;
}

}  // namespace trivet::vmm
