// trivet's own containers behind the portable interface.
#pragma once

#include <memory>
#include <string>

#include "trivet/backend.h"
#include "trivet/engine.h"

namespace trivet::backend {

// `isolation` is that of containers whose options name none; "" leaves it to what they are made
// from.
Result<std::shared_ptr<Backend>> open_trivet(const EngineOptions& options, std::string isolation);

}  // namespace trivet::backend
