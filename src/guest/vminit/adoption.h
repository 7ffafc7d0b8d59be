// A container that was made in a guest that was then saved becomes that of a guest that is
// restored.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/result.h"

namespace trivet::guest {

// The name in the UTS namespace of `init`, which waits to be started, and what its program will
// find in HOSTNAME, if that is the name now. Both names are of one length.
Result<> rename_container(pid_t init, const std::string& name);

}  // namespace trivet::guest
