// The arguments of `podman create`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "trivet/types.h"

namespace trivet::backend {

// From "create" to the last argument of the command. kUnsupported names the option that podman has
// nothing for; kInvalidArgument.
Result<std::vector<std::string>> plan_podman_create(const RunOptions& options);

}  // namespace trivet::backend
