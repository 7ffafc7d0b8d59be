// What system calls trivet-wasm leaves to itself.
#pragma once

#include "base/result.h"

namespace trivet::wasm_host {

// Once a module is loaded: files, clocks, sockets and threads, but no new programs, no executable
// memory, and nothing that changes the shell around it.
Result<> install_run_filter();

// While a module is compiled: memory, threads, and descriptors that are open.
Result<> install_compile_filter();

}  // namespace trivet::wasm_host
