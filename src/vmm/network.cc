#include "vmm/network.h"

#include "base/socket_pair.h"
#include "vmm/tap.h"

namespace trivet::vmm {

namespace {

using Kind = payload::microvm::Network::Kind;

void add_stream(Network& network, UniqueFd fd) {
  network.backends.push_back({.kind = NetBackend::Kind::kStream, .fd = fd.get()});
  network.owned.push_back(std::move(fd));
}

void add_tap(Network& network, UniqueFd fd) {
  network.backends.push_back({.kind = NetBackend::Kind::kTap, .fd = fd.get()});
  network.owned.push_back(std::move(fd));
}

// The device of a template has nothing behind it. One that is no tap can become one, but can't
// leave checksums and segmentation to the host.
Result<Network> prepare_for_template(const Job& job) {
  Network network;
  if (job.network.fd >= 0) {
    add_stream(network, UniqueFd(job.network.fd));
  } else if (job.network.kind == Kind::kTap) {
    add_tap(network, TRY(make_tap(0)));
  } else {
    SocketPair pair = TRY(make_socket_pair());
    network.owned.push_back(std::move(pair.theirs));
    add_stream(network, std::move(pair.ours));
  }
  return network;
}

// A machine out of a template has exactly one device, with or without an interface behind it.
Result<Network> take_over(const Job& job) {
  Network network;
  const auto found = TRY(find_interfaces());
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
  if (job.network.kind == Kind::kNone) return Network{};
  if (job.mode == Job::Mode::kMakeTemplate) return prepare_for_template(job);
  if (job.network.kind == Kind::kTap) return take_over(job);
  Network network;
  add_stream(network, UniqueFd(job.network.fd));
  return network;
}

}  // namespace trivet::vmm
