#include "cdi/select.h"

#include <algorithm>

#include "base/text.h"
#include "cdi/names.h"

namespace trivet::cdi {

namespace {

// What does a person do who has no file for it?
std::string advice_for(std::string_view kind) {
  if (kind == "nvidia.com/gpu") {
    return "for an NVIDIA GPU, install its driver and the NVIDIA Container Toolkit, then: "
           "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";
  }
  if (kind == "amd.com/gpu") {
    return "for an AMD GPU, install its driver and the AMD Container Toolkit, then: amd-ctk cdi "
           "generate --output=/etc/cdi/amd.json";
  }
  return "`trivet device ls` lists the devices that there are, and the files that are broken";
}

// The files that can't be read may be those that were meant.
Error with_broken(const Registry& registry, Error error) {
  for (const Broken& broken : registry.broken) {
    error = std::move(error).note(Error(ErrorCode::kUnsupported, broken.error.message()));
  }
  return error;
}

std::unexpected<Error> no_such_kind(const Registry& registry, const std::string& kind) {
  const std::string where = join(registry.directories, " or ");
  Error error(ErrorCode::kUnsupported, fmt::format("no CDI file in {} defines {}",
                                                   where.empty() ? "any directory" : where, kind));
  return std::unexpected(with_broken(registry, std::move(error).hint(advice_for(kind))));
}

std::vector<std::string> names_of_kind(const Registry& registry, std::string_view kind) {
  std::vector<std::string> names;
  for (const auto& [name, index] : registry.devices) {
    if (registry.specs[index.spec].kind == kind) names.push_back(registry.device(index).name);
  }
  return names;
}

std::unexpected<Error> conflict(const std::string& name, const std::vector<std::string>& files) {
  return std::unexpected(
      Error(ErrorCode::kUnsupported,
            fmt::format("the CDI device {} is defined by {}", name, join(files, " and by ")))
          .hint("remove it from one of them: of two files of the same directory neither counts"));
}

}  // namespace

Result<DeviceIndex> find_device(const Registry& registry, std::string_view qualified_name) {
  const QualifiedName wanted = TRY(parse_qualified_name(qualified_name));
  const std::string name(qualified_name);
  if (const auto found = registry.devices.find(name); found != registry.devices.end()) {
    return found->second;
  }
  if (const auto found = registry.conflicts.find(name); found != registry.conflicts.end()) {
    return conflict(name, found->second);
  }
  if (!registry.has_kind(wanted.kind)) return no_such_kind(registry, wanted.kind);
  const auto names = names_of_kind(registry, wanted.kind);
  const std::string nearest = nearest_name(wanted.device, names);
  Error error(ErrorCode::kUnsupported, fmt::format("there is no CDI device {}", name));
  error = std::move(error).hint(nearest.empty()
                                    ? fmt::format("{} has {}", wanted.kind, join(names, ", "))
                                    : fmt::format("did you mean {}={}?", wanted.kind, nearest));
  return std::unexpected(with_broken(registry, std::move(error)));
}

}  // namespace trivet::cdi
