// What of a process JSON can't say.
#pragma once

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::oci {

// Arguments and variables are bytes for the kernel, and UTF-8 in JSON, where print_spec() and
// print_process() would put U+FFFD for what is not. kInvalidArgument names the first that is not.
Result<> require_utf8(const Process& process);

}  // namespace trivet::oci
