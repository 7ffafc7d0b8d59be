// What is configured, where the command line of `trivet run` says nothing.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "cli/run_options.h"

namespace trivet::cli {

// The long names of the options with a value that the command line has.
using GivenOptions = std::shared_ptr<std::set<std::string>>;
GivenOptions watch_given(Command& command);

// Puts what the host, the user and the project have configured into `flags`, which have been
// parsed.
Result<> apply_configuration(const GivenOptions& given, RunFlags& flags);

// The same for a pod, whose manifest says the rest.
Result<> apply_configuration(PodOptions& options);

}  // namespace trivet::cli
