// Pod manifests: YAML from anywhere. Reading must end, whatever it is given, and what is read must
// be within the limits that the plan of a pod relies on.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "manifest/expand.h"
#include "manifest/manifest.h"

namespace manifest = trivet::manifest;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool ignore : {false, true}) {
    const auto result = manifest::parse_manifest(text, {.ignore_unsupported = ignore});
    if (!result) {
      if (result.error().message().empty()) std::abort();
      continue;
    }
    if (result->pod.containers.empty()) std::abort();
    for (const auto& container : result->pod.containers) {
      if (container.name.empty() || container.name.find('/') != std::string::npos) std::abort();
      for (const auto& mount : container.mounts) {
        if (!mount.path.starts_with('/')) std::abort();
      }
    }
    for (const auto& volume : result->pod.volumes) {
      if (volume.name.empty() || volume.name.find('/') != std::string::npos) std::abort();
    }
  }
  static_cast<void>(manifest::expand(
      text, [](const std::string& name) { return std::optional<std::string>(name); }));
  return 0;
}
