#include "runtime/isolation.h"

#include "base/fs.h"
#include "image/bundle.h"
#include "payload/wasm/limits.h"
#include "payload/wasm/module_file.h"

namespace trivet::runtime {

namespace {

// `trivet run` counts fuel by default: a module can't hold a processor for ever.
constexpr const char* kDefaultFuel = "1000000000";

// What --init puts in front of the program: itself and "--".
constexpr int kInitWords = 2;

// Only what is certain by its content: a text file with a .wat name may be anything.
bool program_is_wasm(const RootFacts& root, const Plan& plan) {
  using payload::wasm::Format;
  const auto open = [&](const std::string& path) -> Result<UniqueFd> {
    if (plan.record.overlay) return image::open_in_layers(root.layers, path);
    const UniqueFd fd = TRY(open_file(plan.record.rootfs, O_PATH | O_DIRECTORY));
    return open_in_root(fd.get(), path, O_RDONLY | O_NONBLOCK);
  };
  oci::Process process = *plan.spec.process;
  if (plan.record.init) process.args.erase(process.args.begin(), process.args.begin() + kInitWords);
  const auto module = payload::wasm::find_module(open, plan.spec.mounts, process);
  return module && (module->format == Format::kModule || module->format == Format::kComponent);
}

}  // namespace

Result<payload::Isolation> choose_isolation(const RunOptions& options, const RootFacts& root,
                                            const Plan& plan) {
  const auto choice = TRY(payload::choose({.requested = options.isolation,
                                           .annotations = plan.spec.annotations,
                                           .program_name = "trivet"}));
  payload::Isolation isolation = choice.isolation;
  if (choice.by_program && (root.is_wasm || program_is_wasm(root, plan))) {
    isolation = payload::Isolation::kWasm;
  }
  if (isolation == payload::Isolation::kMicrovm) {
    return fail(ErrorCode::kUnsupported, "isolation \"microvm\" is not available in this build");
  }
  if (isolation == payload::Isolation::kWasm) return isolation;
  for (const auto& [option, value] :
       {std::pair("--fuel", options.fuel), std::pair("--invoke", options.invoke)}) {
    if (value.empty()) continue;
    return fail(ErrorCode::kInvalidArgument,
                "{} {}: it is for WebAssembly, and this container is {}", option, value,
                payload::isolation_name(isolation));
  }
  return isolation;
}

RunOptions wasm_options(RunOptions options) {
  options.init = false;
  options.isolation = payload::isolation_name(payload::Isolation::kWasm);
  options.annotations[payload::kIsolationAnnotation] = options.isolation;
  if (!options.invoke.empty()) {
    options.annotations[payload::wasm::kInvokeAnnotation] = options.invoke;
  }
  if (!options.fuel.empty()) {
    options.annotations[payload::wasm::kFuelAnnotation] = options.fuel;
  } else {
    options.annotations.try_emplace(payload::wasm::kFuelAnnotation, kDefaultFuel);
  }
  return options;
}

}  // namespace trivet::runtime
