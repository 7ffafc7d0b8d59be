// The command line of one command, read with CLI11. Its exceptions end here.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"

namespace trivet::cli {

struct Parsed {
  bool help = false;  // --help was given: nothing else counts
  std::vector<std::string> arguments;
};

// Stores the options of `words` in the targets of `command` and returns its arguments. `globals`
// are accepted as well. When the command stops at its first argument, everything from there on is
// returned untouched.
//
// kInvalidArgument with a hint for an unknown option, a value that is missing or wrong, and too few
// or too many arguments.
Result<Parsed> parse_words(const Command& command, const std::vector<OptionSpec>& globals,
                           const std::vector<std::string>& words);

}  // namespace trivet::cli
