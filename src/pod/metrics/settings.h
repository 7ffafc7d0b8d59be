// On which port the pod's numbers are.
#pragma once

#include <cstdint>
#include <string_view>

#include "trivet/extension.h"

namespace trivet::metrics {

struct Ports {
  uint16_t host = 0;  // 0: any
  uint16_t pod = 9402;
};

// "9402", "HOST:POD" as in -p ("0:9402": any port of the host), or nothing for the defaults.
[[nodiscard]] extension::Outcome<Ports> parse_settings(std::string_view text);

}  // namespace trivet::metrics
