// The program `trivet`, from its words to its exit code.
#pragma once

#include <string>
#include <vector>

namespace trivet::cli {

// `words` without the program's name. Prints; returns the exit code: that of the container for run,
// exec, start -a and attach; else 0, 1 for a failure, 2 for a wrong command line. run, create,
// start and exec use Docker's codes for what is not the container's: 125, 126 and 127.
int run_trivet(const std::vector<std::string>& words);

}  // namespace trivet::cli
