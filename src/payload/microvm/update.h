// New limits for a microVM that runs.
#pragma once

#include "base/result.h"
#include "container/container.h"

namespace trivet::payload::microvm {

// What the guest's kernel counts (memory, processes) is changed there, the rest (time of the
// processor, input and output) around the machine. kLimitExceeded: more memory than the machine
// was made with, which can't grow. kUnsupported: CPUs of the host by number.
Result<> update_machine(container::Container& container, const oci::Resources& resources);

}  // namespace trivet::payload::microvm
