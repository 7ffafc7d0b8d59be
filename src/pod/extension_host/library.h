// An extension that is a shared library, behind the C interface of include/trivet/extension.h.
#pragma once

#include <string>

#include "base/result.h"
#include "trivet/extension.h"

namespace trivet::pod {

// Loads the library and asks for its extension, which stays for the process's life.
Result<const trivet_extension*> load_extension(const std::string& path);

}  // namespace trivet::pod
