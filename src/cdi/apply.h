// What CDI devices change about a container. Pure: the host is seen through HostView only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cdi/registry.h"

namespace trivet::cdi {

struct HostView {
  // The device node at a path of the host: its type, numbers and mode.
  std::function<Result<oci::Device>(const std::string& path)> device_at;
  std::function<bool(const std::string& path)> exists;
};

// Makes the edits of the named devices to `spec`: those of a device's file once, then its own, in
// the order of the names. A device named twice counts once. Fails with kInvalidArgument for what is
// no name, with kUnsupported and the file that is to blame for what the host does not have; `spec`
// is then half-edited.
Result<> apply_devices(const Registry& registry, const std::vector<std::string>& qualified_names,
                       const HostView& host, oci::Spec& spec);

}  // namespace trivet::cdi
