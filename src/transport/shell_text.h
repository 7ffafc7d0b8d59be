// The text that a POSIX shell in a guest makes a command of. SSH carries one string and no argument
// list (RFC 4254, 6.5); the user's login shell reads it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "trivet/exec.h"

namespace trivet::transport {

// One word, whatever the bytes: no shell expands or splits it. NUL can't be in it.
[[nodiscard]] std::string quote_word(std::string_view word);

// What must not get into a guest's shell, or can't: kInvalidArgument names the operand. An argv
// that is empty or begins with an empty word or a "-", NUL bytes, environment entries whose name is
// no shell variable's, a working directory that is not absolute.
Result<> check_command(const ExecCommand& command);

// The longest text that a shell is given: one argument of execve(2) has at most 128 KiB with its
// final NUL (MAX_ARG_STRLEN), in the guest as well as here.
inline constexpr size_t kShellTextLimit = (size_t{128} << 10U) - 1;

// Runs a checked command without a terminal. `mark` becomes TRIVET_EXEC_ID in its environment, by
// which end_text() finds it and what it has started.
Result<std::string> command_text(const ExecCommand& command, std::string_view mark);

// The same for a terminal. An empty argv is the user's login shell.
Result<std::string> login_text(const ExecCommand& command);

// Sends SIGTERM to all processes with that mark, and SIGKILL to those that are there two seconds
// later.
[[nodiscard]] std::string end_text(std::string_view mark);

}  // namespace trivet::transport
