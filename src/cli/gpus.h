// Docker's --gpus in words of CDI. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::cli {

// "all", "2", "device=0,GPU-1", "count=2" to names of CDI: all, the first two by number, these.
// kInvalidArgument.
Result<std::vector<std::string>> parse_gpus(std::string_view text);

}  // namespace trivet::cli
