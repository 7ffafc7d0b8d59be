// CDI specifications. They are root's files, but programs of vendors write them: reading one must
// end, and what is read must be within what its application to a container relies on.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "cdi/apply.h"

namespace cdi = trivet::cdi;

namespace {

trivet::oci::Spec empty_container() {
  trivet::oci::Spec spec;
  spec.process.emplace();
  spec.linux_config.emplace().resources.emplace();
  return spec;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto parsed = cdi::parse_spec({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!parsed) {
    if (parsed.error().message().empty()) std::abort();
    return 0;
  }
  if (parsed->devices.empty()) std::abort();
  const cdi::HostView host{
      .device_at = [](const std::string& path) -> trivet::Result<trivet::oci::Device> {
        return trivet::oci::Device{.path = path, .major = 1};
      },
      .exists = [](const std::string&) { return true; }};
  const cdi::Registry registry = cdi::merge_specs({std::move(*parsed)}, {0});
  for (const auto& [name, index] : registry.devices) {
    trivet::oci::Spec spec = empty_container();
    if (!cdi::apply_devices(registry, {name}, host, spec)) continue;
    for (const auto& device : spec.linux_config->devices) {
      if (!device.path.starts_with('/')) std::abort();
    }
    for (const auto& mount : spec.mounts) {
      if (!mount.destination.starts_with('/') || mount.destination == "/") std::abort();
    }
  }
  return 0;
}
