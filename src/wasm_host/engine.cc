#include "wasm_host/engine.h"

#include <unistd.h>

// third_party/wasmtime/src/lib.rs: what the C API lacks.
extern "C" void trivet_config_disable_compiler(wasm_config_t* config);

namespace trivet::wasm_host {

wasmtime::Engine make_engine(payload::wasm::Fuel fuel, Purpose purpose) {
  wasmtime::Config config;
  config.consume_fuel(fuel == payload::wasm::Fuel::kCounted);
  config.wasm_component_model(true);
  if (purpose == Purpose::kRun) trivet_config_disable_compiler(config.capi());
  return wasmtime::Engine(std::move(config));
}

void complain(std::string_view text) {
  const std::string line = fmt::format("trivet-wasm: {}\n", text);
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace trivet::wasm_host
