#pragma once

#include <string>

namespace trivet::payload::wasm {

// The version of Wasmtime and a mark of this processor's features: code that was compiled under
// another id is not used.
[[nodiscard]] std::string engine_id();

}  // namespace trivet::payload::wasm
