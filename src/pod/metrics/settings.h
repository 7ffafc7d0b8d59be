// On which port the pod's numbers are.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "trivet/extension.h"

namespace trivet::metrics {

struct Ports {
  std::optional<uint16_t> host = 0;  // 0: any; nothing: none is asked for
  uint16_t pod = 9402;
};

// "9402", "HOST:POD" as in -p ("0:9402": any port of the host, ":9402": none, for where another
// publishes it), or nothing for the defaults.
[[nodiscard]] extension::Outcome<Ports> parse_settings(std::string_view text);

}  // namespace trivet::metrics
