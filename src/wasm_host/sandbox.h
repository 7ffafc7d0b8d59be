// What trivet-wasm takes from itself.
#pragma once

#include "base/result.h"

namespace trivet::wasm_host {

// For the compiler, which reads what strangers wrote: no capabilities, nobody's uid if it was root,
// limits on memory, time and file size, no descriptor but 0, 1, 2 and `kept_fd`, no network, and no
// system calls but those of memory, threads and open descriptors.
Result<> enter_compiler_sandbox(int kept_fd);

}  // namespace trivet::wasm_host
