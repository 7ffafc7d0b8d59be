// The names by which people choose what isolates their containers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet {

// What runs containers for whoever names nothing better. It is weaker than what an image is made
// for, and than any annotation.
inline constexpr const char* kRuntimeVariable = "TRIVET_RUNTIME";

// "native", "microvm", "wasm", "null", then the aliases of users of crun: "crun", "krun".
[[nodiscard]] std::vector<std::string> runtime_names();

// The name that an alias stands for; other known names are their own. kInvalidArgument with all
// known ones for any other; `where` says who named it: "TRIVET_RUNTIME".
Result<std::string> parse_runtime_name(std::string_view name, std::string_view where);

// The error for whoever would run something on the runtime null; `where` as above.
[[nodiscard]] Error null_runtime_error(std::string_view where);

}  // namespace trivet
