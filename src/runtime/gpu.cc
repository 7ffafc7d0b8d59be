#include "trivet/gpu.h"

#include "base/fs.h"
#include "base/text.h"
#include "cdi/apply.h"
#include "cdi/select.h"
#include "linux/device_nodes.h"
#include "runtime/devices.h"

namespace trivet {

namespace {

constexpr const char* kUsualGpu = "nvidia.com/gpu=all";

// Whether the host has everything that a device names: it is given to a container of paper.
Result<> try_device(const cdi::Registry& registry, const std::string& name) {
  oci::Spec spec;
  spec.process.emplace();
  spec.linux_config.emplace().resources.emplace();
  const cdi::HostView host{.device_at = find_device,
                           .exists = [](const std::string& path) { return exists(path); }};
  return cdi::apply_devices(registry, {name}, host, spec);
}

BrokenCdiFile describe_conflict(const std::string& name, const std::vector<std::string>& files) {
  return {.path = files.back(),
          .error = Error(ErrorCode::kUnsupported,
                         fmt::format("the device {} is also defined by {}", name, files.front()))};
}

cdi::Registry load(const std::vector<std::string>& directories) {
  return cdi::load_registry(directories.empty() ? runtime::cdi_directories() : directories);
}

}  // namespace

CdiInventory list_cdi_devices(const std::vector<std::string>& directories) {
  const cdi::Registry registry = load(directories);
  CdiInventory found;
  for (const auto& [name, index] : registry.devices) {
    found.devices.push_back({.name = name,
                             .file = registry.specs[index.spec].file,
                             .annotations = registry.device(index).annotations});
  }
  for (const cdi::Broken& broken : registry.broken) {
    found.broken.push_back({.path = broken.path, .error = broken.error});
  }
  for (const auto& [name, files] : registry.conflicts) {
    found.broken.push_back(describe_conflict(name, files));
  }
  return found;
}

bool check_gpu_available(const std::vector<std::string>& directories) noexcept {
  try {
    return check_gpu_config(directories).has_value();
  } catch (...) {
    return false;  // of memory, where there is none left
  }
}

Result<> check_gpu_config(const std::vector<std::string>& directories) {
  const cdi::Registry registry = load(directories);
  Result<> last = fail(ErrorCode::kUnsupported, "no GPU");
  bool any = false;
  for (const auto& [name, index] : registry.devices) {
    if (!registry.specs[index.spec].kind.ends_with("/gpu")) continue;
    last = try_device(registry, name);
    if (last) return last;
    any = true;
  }
  if (any) return last;
  // The words for a person who has none.
  const auto usual = cdi::find_device(registry, kUsualGpu);
  return usual ? std::move(last) : std::unexpected(usual.error());
}

}  // namespace trivet
