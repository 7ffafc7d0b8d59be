#include "runtime/info.h"

#include <cstdlib>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/paths.h"
#include "linux/capabilities.h"
#include "linux/cgroup.h"
#include "runtime/devices.h"
#include "runtime/observe.h"
#include "runtime/vm.h"
#include "trivet/gpu.h"

namespace trivet::runtime {

namespace {

using OrderedJson = nlohmann::ordered_json;

// The path of a program in PATH, or nothing.
OrderedJson find_program(const std::string& name) {
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  for (const std::string& directory : split(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    std::string candidate = fmt::format("{}/{}", directory, name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return nullptr;
}

OrderedJson companion(const std::string& name) {
  const std::string path = find_companion(name);
  return path.empty() ? OrderedJson(nullptr) : OrderedJson(path);
}

OrderedJson describe_kernel() {
  struct utsname name{};
  uname(&name);
  struct sysinfo system{};
  sysinfo(&system);
  return {{"kernel", name.release},
          {"architecture", name.machine},
          {"hostname", name.nodename},
          {"cpus", sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory", static_cast<uint64_t>(system.totalram) * system.mem_unit}};
}

OrderedJson describe_cgroups() {
  const auto layout = cgroup::Layout::detect();
  if (!layout) return {{"mode", nullptr}, {"error", layout.error().message()}};
  OrderedJson controllers = OrderedJson::array();
  for (const cgroup::Hierarchy& hierarchy : layout->hierarchies) {
    for (const std::string& name : hierarchy.controllers) {
      if (!name.starts_with("name=")) controllers.push_back(name);
    }
  }
  return {{"mode", cgroup::mode_name(layout->mode)}, {"controllers", controllers}};
}

OrderedJson describe_security() {
  OrderedJson missing = OrderedJson::array();
  const caps::Set own = caps::own_bounding_set().value_or(0);
  const auto& names = caps::all_capabilities();
  for (const std::string& name : names) {
    const auto number = caps::parse_capability(name);
    if (number && (own >> static_cast<unsigned>(*number) & 1U) == 0) missing.push_back(name);
  }
  return {{"seccomp", exists("/proc/sys/kernel/seccomp/actions_avail")},
          {"apparmor", exists("/sys/kernel/security/apparmor/profiles")},
          {"selinux", exists("/sys/fs/selinux/enforce")},
          {"missing_capabilities", missing},
          {"rootless", geteuid() != 0}};
}

OrderedJson describe_namespaces() {
  OrderedJson list = OrderedJson::array();
  for (const char* name : {"pid", "mnt", "uts", "ipc", "net", "cgroup", "user", "time"}) {
    if (exists(fmt::format("/proc/self/ns/{}", name))) list.push_back(name);
  }
  return list;
}

OrderedJson describe_wasm() {
  if (!find_companion("trivet-wasm").empty()) return {{"available", true}};
  return {{"available", false}, {"reason", "the program trivet-wasm is not installed"}};
}

OrderedJson describe_isolations(const Home& home) {
  return {{"native", {{"available", true}}},
          {"microvm", describe_vm_support(home)},
          {"wasm", describe_wasm()}};
}

OrderedJson describe_devices() {
  const CdiInventory found = list_cdi_devices();
  OrderedJson names = OrderedJson::array();
  for (const CdiDevice& device : found.devices) names.push_back(device.name);
  OrderedJson broken = OrderedJson::array();
  for (const BrokenCdiFile& file : found.broken) {
    broken.push_back({{"file", file.path}, {"error", file.error.message()}});
  }
  return {{"cdi_directories", cdi_directories()}, {"cdi", names}, {"broken", broken}};
}

Result<OrderedJson> count_things(const Home& home) {
  int running = 0;
  int paused = 0;
  int stopped = 0;
  for (const ContainerInfo& info : TRY(list_containers(home, true, WithSize::kNo))) {
    if (info.status == ContainerStatus::kPaused) {
      ++paused;
    } else if (info.pid != 0) {
      ++running;
    } else {
      ++stopped;
    }
  }
  const auto images = TRY(home.store.list());
  return OrderedJson{{"containers", running + paused + stopped},
                     {"running", running},
                     {"paused", paused},
                     {"stopped", stopped},
                     {"images", images.size()}};
}

}  // namespace

Result<std::string> describe_host(const Home& home) {
  const OrderedJson document = {
      {"version", TRIVET_VERSION},
      {"oci_version", oci::kSpecVersion},
      {"counts", TRY(count_things(home))},
      {"host", describe_kernel()},
      {"cgroups", describe_cgroups()},
      {"security", describe_security()},
      {"namespaces", describe_namespaces()},
      {"isolations", describe_isolations(home)},
      {"devices", describe_devices()},
      {"network", {{"default", "pasta"}, {"pasta", find_program("pasta")}}},
      {"programs",
       {{"trivet-monitor", companion("trivet-monitor")},
        {"trivet-oci", companion("trivet-oci")},
        {"trivet-wasm", companion("trivet-wasm")},
        {"trivet-vmm", companion("trivet-vmm")},
        {"trivet-vminit", companion("trivet-vminit")},
        {"trivet-init", companion("trivet-init")},
        {"trivet-systemd", companion("trivet-systemd")}}},
      {"directories",
       {{"data", home.directories.data},
        {"state", home.directories.state},
        {"configuration", default_config_dir()}}},
      {"limits", {{"containers", home.max_containers}}},
  };
  return document.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace trivet::runtime
