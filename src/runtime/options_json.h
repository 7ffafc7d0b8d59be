// What a user asked for as a document, so that another process can make the same again.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "trivet/types.h"

namespace trivet::runtime {

// All but the functions, and what only a registry is told. What has its default is left out.
[[nodiscard]] Json options_to_json(const RunOptions& options);
// Members that are absent have their defaults. kCorrupt for what is no such document.
Result<RunOptions> options_from_json(const JsonView& json);

}  // namespace trivet::runtime
