// WebAssembly to machine code, in a process that can do nothing else.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "payload/wasm/cache.h"

namespace trivet::wasm_host {

struct ModuleFacts {
  bool component = false;
  bool writes_files = false;
};

// Compiles into the file `code_fd`. kCommandNotExecutable with Wasmtime's words when it is not
// valid; kLimitExceeded when it takes more than a compilation may.
Result<ModuleFacts> compile_confined(std::string_view module, payload::wasm::Fuel fuel,
                                     int code_fd);

}  // namespace trivet::wasm_host
