// A document of the library, printed for people and for programs.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/session.h"

namespace trivet::cli {

// `format` is empty or "text" (indented lines), "json", or a template. `document` is JSON.
Result<int> print_document(Session& session, const std::string& document,
                           const std::string& format);

}  // namespace trivet::cli
