// Which device a name means. Pure.
#pragma once

#include <string_view>

#include "cdi/registry.h"

namespace trivet::cdi {

// The device of a qualified name. kInvalidArgument when it is none; kUnsupported, with what to do
// about it, when there is no such device.
Result<DeviceIndex> find_device(const Registry& registry, std::string_view qualified_name);

}  // namespace trivet::cdi
