// Names of CDI devices: VENDOR/CLASS=NAME (CDI specification, "Kind" and "CDI Devices"). Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::cdi {

struct QualifiedName {
  std::string kind;    // "nvidia.com/gpu"
  std::string device;  // "all", "0"
};

// Whether a text that names a device, like the value of --device, means one of CDI: it is no path,
// and has a "=".
[[nodiscard]] bool is_cdi_name(std::string_view text);

// kInvalidArgument with a hint for everything but VENDOR/CLASS=NAME.
Result<QualifiedName> parse_qualified_name(std::string_view text);

// "vendor.com/class". What the specification's prose and its reference implementation both allow.
Result<> check_kind(std::string_view kind);
// The part behind the "=".
Result<> check_device_name(std::string_view name);

}  // namespace trivet::cdi
