// The pod's numbers in the OpenMetrics text format
// (https://github.com/prometheus/OpenMetrics, specification 1.0).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "trivet/extension.h"

namespace trivet::metrics {

inline constexpr const char* kContentType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct PodFacts {
  std::string id;
  std::string name;
  std::string hostname;
};

// What has been heard of a container.
struct Heard {
  bool healthy = false;
  uint64_t exits = 0;
  int last_exit_code = 0;
};

[[nodiscard]] std::string print_metrics(const PodFacts& pod,
                                        const std::vector<extension::Numbers>& containers,
                                        const std::map<std::string, Heard>& heard);

}  // namespace trivet::metrics
