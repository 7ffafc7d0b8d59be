// The directories of an Engine, found and made.
#pragma once

#include "base/result.h"
#include "runtime/home.h"
#include "trivet/engine.h"

namespace trivet::runtime {

// What a crash has interrupted in pods is finished before anything else.
Result<Home> open_home(const EngineOptions& options);

}  // namespace trivet::runtime
