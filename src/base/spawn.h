// Starting another program with descriptors of one's choice.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace trivet {

// What becomes a program's 0, 1 and 2.
struct StandardFds {
  int in = -1;
  int out = -1;
  int err = -1;
};

// Starts a program (found by PATH) with these descriptors and no others, no signal blocked and
// SIGPIPE not ignored. `environment` empty: the caller's. kCommandNotFound when there is no such
// program.
Result<pid_t> spawn_program(const std::vector<std::string>& argv,
                            const std::vector<std::string>& environment, const StandardFds& fds);

}  // namespace trivet
