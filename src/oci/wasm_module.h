// What images, payloads and the host of WebAssembly have to agree on about a module's file.
#pragma once

#include <cstddef>
#include <string_view>

namespace trivet::oci {

inline constexpr std::string_view kWasmMagic{"\0asm", 4};
inline constexpr size_t kMaxWasmModuleBytes = size_t{256} << 20;

// Beside a layer's diff: the place for the compiled code of its modules. It is there when the layer
// has any, and goes with it.
inline constexpr const char* kLayerCodeDirectory = "wasm";

// Whether a file that begins like this is WebAssembly.
[[nodiscard]] constexpr bool is_wasm(std::string_view first_bytes) {
  return first_bytes.starts_with(kWasmMagic);
}

}  // namespace trivet::oci
