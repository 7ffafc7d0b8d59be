#include "payload/prepare.h"

#include <fcntl.h>

#include "base/fs.h"
#include "base/paths.h"
#include "oci/wasm_module.h"
#include "payload/host_program.h"
#include "payload/microvm/machine.h"
#include "payload/wasm/cache.h"
#include "payload/wasm/confine.h"
#include "payload/wasm/job.h"
#include "payload/wasm/limits.h"
#include "payload/wasm/module_file.h"
#include "payload/wasm/read_only_root.h"

namespace trivet::payload {

namespace {

using wasm::Format;
using wasm::ModuleFile;

constexpr const char* kHost = "trivet-wasm";

Result<std::string> find_host() {
  std::string path = find_companion(kHost);
  if (!path.empty()) return path;
  return std::unexpected(
      Error(ErrorCode::kUnsupported, fmt::format("the program {} is not installed", kHost))
          .hint("it runs WebAssembly; it belongs beside trivet or into ../libexec/trivet"));
}

std::string code_directory_of(const std::string& layer) {
  const size_t end = layer.find_last_of('/');
  return layer.substr(0, end + 1) + oci::kLayerCodeDirectory;
}

// The topmost layer's that has any; empty: none has.
std::string layer_code_directory(const container::OverlayRoot& overlay) {
  for (const std::string& layer : overlay.lower_directories) {
    std::string directory = code_directory_of(layer);
    if (exists(directory)) return directory;
  }
  return {};
}

bool is_absolute(const std::string& path) {
  return path.starts_with('/');
}

bool is_layered(const Request& request) {
  return request.overlay != nullptr && request.overlay->has_value();
}

std::string root_directory(const Request& request) {
  const std::string& path = request.spec.root->path;
  return is_absolute(path) ? path : request.bundle + "/" + path;
}

Result<UniqueFd> open_root_of(const Request& request) {
  if (is_layered(request)) return wasm::open_root(**request.overlay);
  return wasm::open_root(root_directory(request));
}

// Whether the program may be Wasm at all: layers without a module are not put together for a look.
bool may_be_wasm(const Request& request, const std::string& layer_code) {
  if (!request.choice.by_program) return request.choice.isolation == Isolation::kWasm;
  return !is_layered(request) || !layer_code.empty();
}

Result<ModuleFile> require_module(std::optional<ModuleFile> module, const oci::Process& process) {
  if (!module) {
    return fail(ErrorCode::kCommandNotFound,
                "\"{}\": executable file not found: no such file or directory",
                process.args.front());
  }
  if (module->format == Format::kNone) {
    return std::unexpected(
        Error(ErrorCode::kCommandNotExecutable,
              fmt::format("\"{}\": exec format error: it is no WebAssembly module", module->path))
            .hint("its first bytes are not \"\\0asm\"; is it built for another isolation?"));
  }
  return std::move(*module);
}

struct Assembled {
  container::Program program;
  bool writes_files = false;
  bool code_was_cached = false;
};

Result<Assembled> assemble(const ModuleFile& module, const wasm::Settings& settings,
                           const std::string& cache, int report) {
  const std::string host = TRY(find_host());
  const wasm::Fuel fuel = settings.limits.fuel ? wasm::Fuel::kCounted : wasm::Fuel::kOff;
  wasm::CompiledModule compiled = TRY(wasm::compiled_module(module, fuel, cache, host));
  wasm::Job job{.code = compiled.code,
                .code_directory = compiled.directory.get(),
                .component = compiled.component,
                .read_only = !compiled.writes_files,
                .invoke = settings.invoke,
                .limits = settings.limits};
  Assembled assembled{.writes_files = compiled.writes_files, .code_was_cached = compiled.hit};
  assembled.program.file = TRY(open_host_program(host));
  assembled.program.descriptors.push_back(std::move(compiled.directory));
  if (report >= 0) {
    UniqueFd copy(fcntl(report, F_DUPFD_CLOEXEC, 3));
    if (!copy) return fail_errno("fcntl F_DUPFD_CLOEXEC");
    job.report = copy.get();
    assembled.program.descriptors.push_back(std::move(copy));
  }
  assembled.program.env = {fmt::format("{}={}", wasm::kJobVariable, wasm::print_job(job))};
  return assembled;
}

std::optional<int64_t> memory_limit(const oci::Spec& spec) {
  const auto& resources = spec.linux_config->resources;
  if (!resources || !resources->memory) return std::nullopt;
  return resources->memory->limit;
}

Result<std::optional<Prepared>> prepare_wasm(const Request& request) {
  const oci::Spec& spec = request.spec;
  const bool layered = is_layered(request);
  const std::string layer_code = layered ? layer_code_directory(**request.overlay) : "";
  if (!may_be_wasm(request, layer_code)) return std::nullopt;
  auto root = open_root_of(request);
  if (!root && request.choice.by_program) return std::nullopt;  // the engine has the words
  if (!root) return std::unexpected(std::move(root).error());
  auto found = wasm::find_module(wasm::open_below(root->get()), spec.mounts, *spec.process);
  const bool is_wasm = found && found->format != Format::kNone && found->format != Format::kText;
  if (request.choice.by_program && !is_wasm) return std::nullopt;

  const ModuleFile module = TRY(require_module(std::move(found), *spec.process));
  const wasm::Settings settings = TRY(wasm::plan_settings(spec.annotations, memory_limit(spec)));
  Assembled assembled = TRY(assemble(
      module, settings, layer_code.empty() ? request.wasm_cache : layer_code, request.wasm_report));
  Prepared prepared{.isolation = Isolation::kWasm,
                    .spec = spec,
                    .program = std::move(assembled.program),
                    .code_was_cached = assembled.code_was_cached};
  prepared.spec.annotations[kIsolationAnnotation] = isolation_name(Isolation::kWasm);
  TRY(wasm::confine(prepared.spec, layered ? "" : root_directory(request), request.bundle,
                    assembled.writes_files));
  if (layered && !request.wasm_places.empty()) {
    prepared.overlay =
        TRY(wasm::plan_read_only_root(**request.overlay, prepared.spec, request.wasm_places));
  }
  return prepared;
}

}  // namespace

Result<std::optional<Prepared>> prepare(const Request& request) {
  const oci::Spec& spec = request.spec;
  if (!spec.process || spec.process->args.empty() || !spec.root || !spec.linux_config) {
    return std::nullopt;  // the engine says what lacks
  }
  if (request.choice.isolation == Isolation::kMicrovm) {
    if (request.vm.seat != nullptr) return microvm::prepare_member(request);
    if (!request.vm.experimental) TRY(require_experimental(spec.annotations));
    return microvm::prepare_machine(request);
  }
  if (request.choice.isolation == Isolation::kNative && !request.choice.by_program) {
    return std::nullopt;
  }
  return prepare_wasm(request);
}

Result<std::optional<PreparedExec>> prepare_exec(const container::Container& container,
                                                 const oci::Process& process,
                                                 const std::string& wasm_cache,
                                                 const std::string& invoke,
                                                 const GuestExec& guest) {
  const oci::State state = container.state();
  const Isolation isolation = isolation_of(state.annotations);
  if (isolation == Isolation::kMicrovm && invoke.empty()) {
    return microvm::prepare_machine_exec(process, guest);
  }
  if (isolation != Isolation::kWasm || process.args.empty()) {
    if (invoke.empty()) return std::nullopt;
    return fail(ErrorCode::kInvalidArgument, "--invoke {}: container \"{}\" is no WebAssembly one",
                invoke, state.id);
  }
  const UniqueFd root =
      TRY(open_file(fmt::format("/proc/{}/root", container.init().pid), O_PATH | O_DIRECTORY));
  const ModuleFile module =
      TRY(require_module(wasm::find_module(wasm::open_below(root.get()), {}, process), process));
  wasm::Settings settings =
      TRY(wasm::plan_settings(state.annotations, memory_limit(TRY(container.load_spec()))));
  settings.invoke = invoke;  // that of the annotation is for the container's own program
  Assembled assembled = TRY(assemble(module, settings, wasm_cache, -1));
  PreparedExec prepared{.process = process, .program = std::move(assembled.program)};
  wasm::confine(prepared.process);
  return prepared;
}

}  // namespace trivet::payload
