// list, update, features and spec.
#include <functional>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/text.h"
#include "container/container.h"
#include "container/mount_options.h"
#include "linux/capabilities.h"
#include "linux/seccomp.h"
#include "oci/features.h"
#include "oci/spec_names.h"
#include "oci_cli/commands.h"
#include "payload/choose.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/support.h"
#include "payload/microvm/update.h"

namespace trivet::oci_cli {

namespace {

using container::Container;

std::string state_row(const oci::State& state) {
  return fmt::format("{:<24} {:<8} {:<9} {:<32} {:<32} {}\n", state.id, state.pid, state.status,
                     state.bundle, state.created, "root");
}

Result<int64_t> number(const Arguments& arguments, const char* name) {
  return TRY_IN(parse_int(arguments.get(name)), "--{}", name);
}

// Calls `set` with the option's number if it was given.
Result<> read_number(const Arguments& arguments, const char* name,
                     const std::function<void(int64_t)>& set) {
  if (!arguments.has(name)) return {};
  set(TRY(number(arguments, name)));
  return {};
}

Result<> read_memory(const Arguments& arguments, oci::Resources& resources) {
  oci::MemoryResources memory = resources.memory.value_or(oci::MemoryResources{});
  TRY(read_number(arguments, "memory", [&](int64_t v) { memory.limit = v; }));
  TRY(read_number(arguments, "memory-swap", [&](int64_t v) { memory.swap = v; }));
  TRY(read_number(arguments, "memory-reservation", [&](int64_t v) { memory.reservation = v; }));
  TRY(read_number(arguments, "kernel-memory-tcp", [&](int64_t v) { memory.kernel_tcp = v; }));
  if (memory.limit || memory.swap || memory.reservation || memory.kernel_tcp)
    resources.memory = memory;
  return {};
}

Result<> read_cpu(const Arguments& arguments, oci::Resources& resources) {
  oci::CpuResources cpu = resources.cpu.value_or(oci::CpuResources{});
  const auto as_unsigned = [](std::optional<uint64_t>& field) {
    return [&field](int64_t value) { field = static_cast<uint64_t>(value); };
  };
  TRY(read_number(arguments, "cpu-quota", [&](int64_t v) { cpu.quota = v; }));
  TRY(read_number(arguments, "cpu-period", as_unsigned(cpu.period)));
  TRY(read_number(arguments, "cpu-burst", as_unsigned(cpu.burst)));
  TRY(read_number(arguments, "cpu-share", as_unsigned(cpu.shares)));
  TRY(read_number(arguments, "cpu-rt-period", as_unsigned(cpu.realtime_period)));
  TRY(read_number(arguments, "cpu-rt-runtime", [&](int64_t v) { cpu.realtime_runtime = v; }));
  TRY(read_number(arguments, "cpu-idle", [&](int64_t v) { cpu.idle = v; }));
  if (arguments.has("cpuset-cpus")) cpu.cpus = arguments.get("cpuset-cpus");
  if (arguments.has("cpuset-mems")) cpu.mems = arguments.get("cpuset-mems");
  resources.cpu = cpu;
  return {};
}

Result<oci::Resources> read_resources(const Arguments& arguments) {
  if (arguments.has("resources")) {
    const std::string path = arguments.get("resources");
    const std::string text =
        TRY(path == "-" ? read_fd(STDIN_FILENO, "standard input") : read_file(path));
    return TRY_IN(oci::parse_resources(text), "\"{}\"", path);
  }
  oci::Resources resources;
  TRY(read_memory(arguments, resources));
  TRY(read_cpu(arguments, resources));
  TRY(read_number(arguments, "pids-limit", [&](int64_t v) { resources.pids_limit = v; }));
  TRY(read_number(arguments, "blkio-weight", [&](int64_t v) {
    resources.block_io.emplace().weight = static_cast<uint16_t>(v);
  }));
  return resources;
}

std::vector<std::string> names_of(oci::Names names) {
  return {names.begin(), names.end()};
}

oci::LinuxFeatures linux_features() {
  oci::LinuxFeatures features;
  features.namespaces = {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"};
  features.capabilities = caps::all_capabilities();
  features.cgroup =
      oci::CgroupFeatures{.v1 = true, .v2 = true, .systemd = true, .systemd_user = true};
  features.seccomp = oci::SeccompFeatures{.enabled = true,
                                          .actions = seccomp::known_actions(),
                                          .operators = seccomp::known_operators(),
                                          .archs = seccomp::known_architectures(),
                                          .known_flags = seccomp::known_flags(),
                                          .supported_flags = seccomp::known_flags()};
  features.apparmor = true;
  features.selinux = true;
  features.intel_rdt = oci::IntelRdtFeatures{.enabled = true, .schemata = true, .monitoring = true};
  features.memory_policy =
      oci::MemoryPolicyFeatures{.modes = names_of(oci::known_memory_policy_modes()),
                                .flags = names_of(oci::known_memory_policy_flags())};
  features.idmapped_mounts = true;
  features.net_devices = true;
  return features;
}

}  // namespace

Result<int> command_list(const Globals& globals, const Arguments& arguments) {
  const std::string format = arguments.get("format", "table");
  if (format != "table" && format != "json") {
    return fail(ErrorCode::kInvalidArgument, "--format: \"{}\" is neither table nor json", format);
  }
  std::vector<oci::State> states;
  for (const std::string& id : TRY(Container::list(globals.root))) {
    if (const auto container = Container::load(globals.root, id))
      states.push_back(container->state());
  }
  std::string text;
  if (arguments.has("quiet")) {
    for (const oci::State& state : states) text += state.id + "\n";
  } else if (format == "json") {
    text = oci::print_states(states) + "\n";
  } else {
    text = fmt::format("{:<24} {:<8} {:<9} {:<32} {:<32} {}\n", "ID", "PID", "STATUS", "BUNDLE",
                       "CREATED", "OWNER");
    for (const oci::State& state : states) text += state_row(state);
  }
  TRY(write_all(STDOUT_FILENO, text, "stdout"));
  return 0;
}

Result<int> command_update(const Globals& globals, const Arguments& arguments) {
  Container container = TRY(Container::load(globals.root, arguments.operands()[0]));
  const oci::Resources resources = TRY(read_resources(arguments));
  if (arguments.has("l3-cache-schema") || arguments.has("mem-bw-schema")) {
    TRY_IN(container.update_rdt(arguments.get("l3-cache-schema"), arguments.get("mem-bw-schema")),
           "update container \"{}\"", container.id());
  }
  const bool is_machine =
      payload::isolation_of(container.state().annotations) == payload::Isolation::kMicrovm;
  TRY_IN(is_machine ? payload::microvm::update_machine(container, resources)
                    : container.update(resources),
         "update container \"{}\"", container.id());
  return 0;
}

// What this installation can start, for callers that choose a runtime.
std::string available_isolations() {
  namespace microvm = payload::microvm;
  std::vector<std::string> names{"native"};
  if (!find_companion("trivet-wasm").empty()) names.emplace_back("wasm");
  const std::string directory = microvm::vm_directory(default_data_dir());
  if (microvm::microvm_support(directory, microvm::Depth::kPresence).available()) {
    names.emplace_back("microvm");
  }
  return join(names, ",");
}

Result<int> command_features(const Globals& /*globals*/, const Arguments& /*arguments*/) {
  oci::Features features;
  features.hooks = {"prestart",       "createRuntime", "createContainer",
                    "startContainer", "poststart",     "poststop"};
  features.mount_options = container::known_mount_options();
  features.linux_features = linux_features();
  features.annotations = {{"dev.trivet.version", TRIVET_VERSION},
                          {"dev.trivet.isolations", available_isolations()}};
  features.potentially_unsafe_config_annotations = {"dev.trivet.", "module.wasm.image/variant",
                                                    "org.systemd.property.", "run.oci.handler"};
  TRY(write_all(STDOUT_FILENO, oci::print_features(features) + "\n", "stdout"));
  return 0;
}

Result<int> command_spec(const Globals& /*globals*/, const Arguments& arguments) {
  const std::string path = arguments.get("bundle", ".") + "/config.json";
  const oci::Spec spec = oci::default_spec(arguments.has("rootless") ? oci::SpecKind::kRootless
                                                                     : oci::SpecKind::kRoot);
  auto fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!fd)
    return std::unexpected(std::move(fd).error().hint("remove the file to have a new one written"));
  TRY(write_all(fd->get(), oci::print_spec(spec, oci::JsonLayout::kIndented) + "\n", path));
  return 0;
}

}  // namespace trivet::oci_cli
