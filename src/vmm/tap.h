// Taking over the interfaces of the shell's network namespace: what arrives at one goes to the
// guest, what the guest sends leaves through it. The guest has its MAC, addresses and routes, so
// nothing outside sees a difference, whoever has configured the namespace (CNI, netavark, Docker).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/messages.h"

namespace trivet::vmm {

inline constexpr size_t kMaxTaps = 8;

struct Tap {
  UniqueFd fd;  // of the tap device
  guest::Interface interface;
};

// An interface that is up and has an address, and its number.
struct FoundInterface {
  int index = 0;
  guest::Interface interface;
};
Result<std::vector<FoundInterface>> find_interfaces();

// A device of its own for the guest, `number` of this machine's, joined to the interface.
// kAlreadyExists: another machine has it.
Result<Tap> join_interface(const FoundInterface& found, size_t number);

// A tap device that leads nowhere.
Result<UniqueFd> make_tap(size_t number);

}  // namespace trivet::vmm
