// The options of `trivet exec` and `trivet pod exec`, and what they do.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "cli/session.h"

namespace trivet::cli {

struct ExecFlags {
  ExecOptions exec;
  std::vector<std::string> env_files;
};

// Declares the options on `command`, stored in `flags`, which must outlive it.
void declare_exec_options(Command& command, ExecFlags& flags);

// Runs `words` in the container `name`, which messages call `subject`. The exit code is theirs.
Result<int> exec_in(Session& session, const ExecFlags& flags, const std::string& name,
                    const std::string& subject, std::vector<std::string> words);

// Without a terminal to read from, -it would hang or garble a script's input.
Result<> check_terminal(bool terminal, bool interactive);

}  // namespace trivet::cli
