// Where a guest's kernel comes from.
#pragma once

#include "base/result.h"
#include "payload/microvm/kernel_store.h"
#include "trivet/engine.h"

namespace trivet::runtime {

// The kernel that the options ask for, from Debian's packages, a file, a directory or its source.
// Nothing is installed on this host; temporary files are removed.
Result<payload::microvm::KernelFiles> fetch_kernel(const VmSetupOptions& options);

}  // namespace trivet::runtime
