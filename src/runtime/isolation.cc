#include "runtime/isolation.h"

#include <algorithm>
#include <array>

#include "base/fs.h"
#include "base/runtime_name.h"
#include "image/bundle.h"
#include "payload/microvm/machine.h"
#include "payload/microvm/vmm_choice.h"
#include "payload/prepare.h"
#include "payload/wasm/limits.h"
#include "payload/wasm/module_file.h"
#include "runtime/default_runtime.h"

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

struct Belonging {
  const char* option;
  const std::string& value;
  payload::Isolation isolation;
};

Result<> check_options_of_others(const RunOptions& options, payload::Isolation isolation) {
  using payload::Isolation;
  const std::string no_template = options.no_template ? "on" : "";
  for (const Belonging& entry : {Belonging{"--fuel", options.fuel, Isolation::kWasm},
                                 Belonging{"--invoke", options.invoke, Isolation::kWasm},
                                 Belonging{"--vmm", options.vmm, Isolation::kMicrovm},
                                 Belonging{"--accel", options.accelerator, Isolation::kMicrovm},
                                 Belonging{"--no-template", no_template, Isolation::kMicrovm},
                                 Belonging{"--disk", options.disk_size, Isolation::kMicrovm}}) {
    if (entry.value.empty() || entry.isolation == isolation) continue;
    return fail(ErrorCode::kInvalidArgument, "{}: it is for isolation {}, and this container is {}",
                entry.option, payload::isolation_name(entry.isolation),
                payload::isolation_name(isolation));
  }
  return {};
}

// The manifest has been asked; this is for isolations that come from elsewhere.
Result<> check_pod(const PodShell& pod) {
  if (pod.is_machine || (pod.network != net::Mode::kHost && !pod.share_pid)) return {};
  return std::unexpected(
      Error(ErrorCode::kUnsupported,
            fmt::format("a microVM can't share {} with other containers",
                        pod.share_pid ? "its processes" : "the host's network"))
          .hint("with runtimeClassName trivet-microvm the whole pod is one microVM"));
}

// What a shared network namespace has is another container's already.
Result<> check_network(const Plan& plan, const PodShell* pod) {
  if (pod != nullptr) return check_pod(*pod);
  if (plan.record.network == net::Mode::kContainer) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "a microVM can't share another container's network yet")
            .hint("use --network pasta, none or ns:PATH"));
  }
  return {};
}

Result<> check_microvm(const RunOptions& options, const Plan& plan, const PodShell* pod) {
  if (!options.experimental) TRY(payload::require_experimental(plan.spec.annotations));
  TRY(check_network(plan, pod));
  // Beside all devices of the guest it would go unnoticed.
  if (options.privileged && !options.devices.empty()) {
    return std::unexpected(Error(ErrorCode::kUnsupported,
                                 fmt::format("--device {}: a microVM has no devices of the host",
                                             options.devices.front()))
                               .hint("--privileged gives all devices of the guest; "
                                     "--isolation native can give the host's"));
  }
  return {};
}

// By an annotation; one with which WebAssembly is only for some of a pod's containers, too.
bool ask_for_isolation(const std::map<std::string, std::string>& annotations) {
  constexpr std::array kAsking{payload::kIsolationAnnotation, "run.oci.handler",
                               "module.wasm.image/variant"};
  return std::ranges::any_of(kAsking, [&](const char* name) { return annotations.contains(name); });
}

Result<payload::Isolation> default_isolation(const RunOptions& options) {
  const auto entry = options.annotations.find(kDefaultRuntimeAnnotation);
  if (entry == options.annotations.end()) return payload::Isolation::kNative;
  const std::string name = TRY(parse_runtime_name(entry->second, kDefaultRuntimeAnnotation));
  if (name == "null") return std::unexpected(null_runtime_error(kDefaultRuntimeAnnotation));
  const std::map<std::string, std::string> nothing_else;
  const auto choice = TRY(
      payload::choose({.requested = name, .annotations = nothing_else, .program_name = "trivet"}));
  return choice.isolation;
}

}  // namespace

Result<payload::Isolation> choose_isolation(const RunOptions& options, const RootFacts& root,
                                            const Plan& plan, const PodShell* pod) {
  const auto choice = TRY(payload::choose({.requested = options.isolation,
                                           .annotations = plan.spec.annotations,
                                           .program_name = "trivet"}));
  payload::Isolation isolation = choice.isolation;
  if (choice.by_program && (root.is_wasm || program_is_wasm(root, plan))) {
    isolation = payload::Isolation::kWasm;
  } else if (choice.by_program && !ask_for_isolation(plan.spec.annotations)) {
    isolation = TRY(default_isolation(options));
  }
  TRY(check_options_of_others(options, isolation));
  if (pod != nullptr && pod->is_machine && isolation != payload::Isolation::kMicrovm) {
    return fail(ErrorCode::kUnsupported, "the pod is one microVM, and isolation {} is beside it",
                payload::isolation_name(isolation));
  }
  if (isolation == payload::Isolation::kMicrovm) TRY(check_microvm(options, plan, pod));
  return isolation;
}

bool is_surely_wasm(const RunOptions& options, const RootFacts& root) {
  return root.is_wasm && options.isolation.empty() && !ask_for_isolation(options.annotations) &&
         !ask_for_isolation(root.defaults.annotations);
}

RunOptions microvm_options(RunOptions options) {
  namespace microvm = payload::microvm;
  options.isolation = payload::isolation_name(payload::Isolation::kMicrovm);
  options.annotations[payload::kIsolationAnnotation] = options.isolation;
  if (!options.vmm.empty()) options.annotations[microvm::kVmmAnnotation] = options.vmm;
  if (!options.accelerator.empty()) {
    options.annotations[microvm::kAcceleratorAnnotation] = options.accelerator;
  }
  if (options.no_template) options.annotations[microvm::kTemplateAnnotation] = "off";
  if (!options.disk_size.empty()) {
    options.annotations[microvm::kDiskAnnotation] = options.disk_size;
  }
  return options;
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
