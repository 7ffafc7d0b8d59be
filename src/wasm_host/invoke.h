// Calling an exported function by name with arguments as text.
#pragma once

#include <span>
#include <string>
#include <vector>
#include <wasmtime.hh>

#include "base/result.h"

namespace trivet::wasm_host {

// One value for each parameter. kInvalidArgument: too few or too many, no such number, or a type
// that has no text.
Result<std::vector<wasmtime::Val>> parse_values(wasmtime::FuncType type,
                                                std::span<const std::string> words);

// One line a value.
[[nodiscard]] std::string print_values(std::span<const wasmtime::Val> values);

}  // namespace trivet::wasm_host
