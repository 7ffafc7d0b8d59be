// A guest's seccomp program. libseccomp takes as long to compile a profile, where the processor is
// emulated, as all the rest of a start, so that is done here, once and for all guests.
#pragma once

#include <string>

#include "base/result.h"
#include "guest/messages.h"
#include "oci/spec.h"

namespace trivet::payload::microvm {

// Compiles linux.seccomp of a guest's configuration, which then has none, into the request; `cache`
// as CreateOptions::seccomp_cache.
Result<> compile_filter(const std::string& cache, oci::Spec& guest, guest::CreateRequest& request);

}  // namespace trivet::payload::microvm
