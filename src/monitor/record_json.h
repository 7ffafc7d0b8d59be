// The parts of a Record's and a Status's JSON that pods have too.
#pragma once

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

}  // namespace trivet::monitor
