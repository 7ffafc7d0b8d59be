// What the supervisor takes from itself once its machine runs, and an exec'd program's proxy once
// it is connected.
#pragma once

#include "base/result.h"

namespace trivet::vmm {

// No capabilities, no_new_privs, and no system calls but those of a relay: no new programs, no
// files by name, no executable memory.
Result<> confine_self();

}  // namespace trivet::vmm
