#include "runtime/devices.h"

#include <algorithm>
#include <cstdlib>

#include "base/fs.h"
#include "base/text.h"
#include "cdi/apply.h"
#include "cdi/names.h"
#include "linux/device_nodes.h"
#include "payload/choose.h"

namespace trivet::runtime {

std::vector<std::string> cdi_directories() {
  const char* given = std::getenv("TRIVET_CDI_SPEC_DIRS");  // NOLINT(concurrency-mt-unsafe)
  if (given == nullptr || *given == '\0') return cdi::default_directories();
  std::vector<std::string> directories = split(given, ':');
  std::erase(directories, "");
  return directories;
}

Result<> add_cdi_devices(const RunOptions& options, oci::Spec& spec) {
  std::vector<std::string> names;
  std::ranges::copy_if(options.devices, std::back_inserter(names), cdi::is_cdi_name);
  if (names.empty()) return {};
  if (options.isolation == payload::isolation_name(payload::Isolation::kMicrovm)) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported,
              fmt::format("--device {}: a microVM has no devices of the host", names.front()))
            .hint("use --isolation native"));
  }
  const cdi::HostView host{.device_at = find_device,
                           .exists = [](const std::string& path) { return exists(path); }};
  const std::vector<std::string> directories =
      options.cdi_spec_dirs.empty() ? cdi_directories() : options.cdi_spec_dirs;
  return cdi::apply_devices(cdi::load_registry(directories), names, host, spec);
}

}  // namespace trivet::runtime
