// Completion scripts for shells, made from the declarations. Names of containers, images and
// volumes are asked for while typing (`trivet __complete containers`).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/command.h"

namespace trivet::cli {

// "bash", "zsh" or "fish"; kInvalidArgument for another one.
Result<std::string> completion_script(std::string_view shell);

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

// The argument of `trivet __complete` for this kind; null when it is not asked of trivet.
[[nodiscard]] const char* completion_source(Completes kind);
// `text` as one word of a shell, in single quotes.
[[nodiscard]] std::string shell_quoted(std::string_view text);
// All commands that are not hidden.
[[nodiscard]] std::vector<Command> visible_commands();

}  // namespace trivet::cli
