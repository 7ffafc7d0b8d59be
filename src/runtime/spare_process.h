#pragma once

#include <mutex>
#include <optional>

#include "monitor/spare.h"
#include "trivet/spare_process.h"

namespace trivet {

struct SpareProcess::State {
  std::mutex mutex;
  std::optional<monitor::Spare> spare;  // until somebody takes it
};

namespace runtime {

// The copy, for the first who asks.
std::optional<monitor::Spare> take_spare(SpareProcess& process);

}  // namespace runtime

}  // namespace trivet
