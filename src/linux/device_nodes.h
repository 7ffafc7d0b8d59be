// Device nodes, found in a directory of devices.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet {

// The device at `path`, or all below a directory, but for those that a container's /dev has of its
// own: the usual ones, terminals, shared memory. kInvalidArgument when it is neither.
Result<std::vector<oci::Device>> find_devices(const std::string& path);

// The device, or FIFO, at `path`; symbolic links are followed. kInvalidArgument when it is neither.
Result<oci::Device> find_device(const std::string& path);

// Whether there is this very device under its own path.
[[nodiscard]] bool is_present(const oci::Device& device);

// Whether a container may use every device: with engines, a privileged one.
[[nodiscard]] bool allows_all_devices(const oci::Linux& config);

}  // namespace trivet
