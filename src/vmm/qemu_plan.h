// From a job to QEMU's command line: a pure function, so that a template and what is restored from
// it have the same machine because they come from the same lines. docs/architecture.md says where
// the machine's properties come from.
#pragma once

#include <string>

#include "vmm/vmm_plan.h"

namespace trivet::vmm {

// A disk's node in QEMU's block layer, for QMP.
[[nodiscard]] std::string disk_node(size_t index);

[[nodiscard]] VmmPlan plan_qemu(const Job& job, const VmmEnds& ends);

}  // namespace trivet::vmm
