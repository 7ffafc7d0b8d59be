// What each step of a start cost (`--timing`).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trivet::container {

struct StepTime {
  enum class Where { kRuntime, kInit };  // the two work side by side
  Where where = Where::kRuntime;
  std::string step;
  uint64_t microseconds = 0;
};

using Timing = std::vector<StepTime>;

}  // namespace trivet::container
