// The parts of a Record's and a Status's JSON that pods have too.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/process.h"
#include "base/result.h"
#include "net/network.h"

namespace trivet::monitor {

[[nodiscard]] Json process_to_json(const ProcessId& process);
[[nodiscard]] Json ports_to_json(const std::vector<net::PortMapping>& ports);
// An absent member leaves `process` as it is, or adds nothing to `ports`.
Result<> process_from_json(const JsonView& json, std::string_view key, ProcessId& process);
Result<> ports_from_json(const JsonView& json, std::string_view key,
                         std::vector<net::PortMapping>& ports);

// A member that is one of `names`, whose indices are the values of the enum; absent, `out` stays.
template <typename T, size_t N>
Result<> read_choice(const JsonView& json, std::string_view key,
                     const std::array<const char*, N>& names, T& out) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  const std::string text = TRY(member->as_string());
  for (size_t i = 0; i < N; ++i) {
    if (text != names.at(i)) continue;
    out = static_cast<T>(i);
    return {};
  }
  return member->wrong("a known name");
}

}  // namespace trivet::monitor
