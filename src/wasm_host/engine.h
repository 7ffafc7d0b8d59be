// Wasmtime as trivet uses it: compiling and running have to agree on every setting.
#pragma once

#include <wasmtime.hh>
#include <wasmtime/component.hh>

#include "payload/wasm/cache.h"

namespace trivet::wasm_host {

enum class Purpose { kCompile, kRun };  // one that runs has no compiler
[[nodiscard]] wasmtime::Engine make_engine(payload::wasm::Fuel fuel, Purpose purpose);

// "trivet-wasm: " and the text, with a newline, on stderr.
void complain(std::string_view text);

}  // namespace trivet::wasm_host
