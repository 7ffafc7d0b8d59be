// What the guest's network devices are backed by.
#pragma once

#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/messages.h"
#include "payload/microvm/job.h"
#include "vmm/vmm_plan.h"

namespace trivet::vmm {

struct Network {
  std::vector<NetBackend> backends;  // in the order of the guest's devices
  std::vector<UniqueFd> owned;       // what `backends` refers to, or the other ends
  // Kind::kTap: what the guest's devices get.
  std::vector<guest::Interface> interfaces;
};

Result<Network> prepare_network(const payload::microvm::Job& job);

}  // namespace trivet::vmm
