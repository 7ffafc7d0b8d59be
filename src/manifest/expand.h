// Kubernetes' "$(NAME)" in commands, arguments, variables and sub-paths.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trivet::manifest {

using Lookup = std::function<std::optional<std::string>(const std::string& name)>;

// "$(NAME)" becomes what `lookup` knows, and stays as it is where that knows nothing. "$$" is one
// "$": "$$(NAME)" gives "$(NAME)".
[[nodiscard]] std::string expand(std::string_view text, const Lookup& lookup);

}  // namespace trivet::manifest
