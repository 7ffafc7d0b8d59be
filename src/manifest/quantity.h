// Kubernetes' quantities: "500m", "0.5", "64Mi", "1e3", "2G".
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace trivet::manifest {

// In thousandths, rounded up: "100m" is 100. kInvalidArgument for what is no quantity, is negative
// or does not fit.
Result<int64_t> parse_thousandths(std::string_view text);
// In whole units, rounded up: "1Ki" is 1024, "1500m" is 2.
Result<int64_t> parse_units(std::string_view text);

}  // namespace trivet::manifest
