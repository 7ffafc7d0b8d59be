// trivet's own containers behind the portable interface.
#pragma once

#include <memory>
#include <string>

#include "trivet/backend.h"
#include "trivet/engine.h"

namespace trivet::backend {

// Of containers whose options say nothing.
struct TrivetDefaults {
  std::string isolation;        // "" leaves it to what they are made from
  std::string default_runtime;  // where that says nothing either; "": native
  bool experimental = false;    // microVMs are allowed
};

Result<std::shared_ptr<Backend>> open_trivet(const EngineOptions& options, TrivetDefaults defaults);

}  // namespace trivet::backend
