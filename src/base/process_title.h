#pragma once

#include <string>

#include "base/result.h"

namespace trivet {

// What ps(1) shows of this process: its name (15 bytes of it) and, in place of the command line, a
// text, as far as there is room. For a process of one thread: the environment moves, and what
// getenv(3) returned before does not last.
Result<> set_process_title(const std::string& name, const std::string& text);

}  // namespace trivet
