// Capabilities: names, sets, and Docker's default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::caps {

using Set = uint64_t;  // bit N is capability number N of linux/capability.h

// "CAP_CHOWN", "chown" or "CHOWN" to its number; kInvalidArgument with the nearest name otherwise.
Result<int> parse_capability(std::string_view name);
[[nodiscard]] std::string capability_name(int number);  // "CAP_CHOWN"
[[nodiscard]] const std::vector<std::string>& all_capabilities();

// Docker's fourteen.
[[nodiscard]] const std::vector<std::string>& default_capabilities();

// `--cap-add` and `--cap-drop` on the default: "ALL" works in both; add wins over drop ALL.
Result<std::vector<std::string>> adjust(const std::vector<std::string>& base,
                                        const std::vector<std::string>& add,
                                        const std::vector<std::string>& drop);

struct Parsed {
  Set set = 0;
  std::vector<std::string> unknown;  // names this kernel doesn't know: a warning (runtime-spec)
};
[[nodiscard]] Parsed parse_set(const std::vector<std::string>& names);

// What the calling process may pass on at all: its bounding set.
Result<Set> own_bounding_set();
Result<Set> own_permitted_set();

}  // namespace trivet::caps
