#include "wasm_host/engine.h"

#include <unistd.h>

namespace trivet::wasm_host {

wasmtime::Engine make_engine(payload::wasm::Fuel fuel) {
  wasmtime::Config config;
  config.consume_fuel(fuel == payload::wasm::Fuel::kCounted);
  config.wasm_component_model(true);
  return wasmtime::Engine(std::move(config));
}

void complain(std::string_view text) {
  const std::string line = fmt::format("trivet-wasm: {}\n", text);
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace trivet::wasm_host
