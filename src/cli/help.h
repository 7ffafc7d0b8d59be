// What --help prints.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/command.h"

namespace trivet::cli {

// `trivet --help`: all commands by topic.
std::string overview_help();
// `trivet image --help`.
std::string group_help(std::string_view group);
// `trivet run --help`.
std::string command_help(const Command& command);

// Pieces that the man pages and docs/commands.md share.

// "trivet run [OPTIONS] IMAGE [COMMAND [ARG...]]", one for each way to call it.
std::vector<std::string> usage_lines(const Command& command);
// The options that are not hidden under their headings, in the order of their declaration.
using OptionGroup = std::pair<std::string, std::vector<const OptionSpec*>>;
std::vector<OptionGroup> grouped_options(const std::vector<OptionSpec>& options);
std::vector<OptionGroup> grouped_options(std::vector<OptionSpec>&& options) = delete;  // pointed to
// "-e, --env NAME=VALUE".
std::string option_term(const OptionSpec& option);
// The help with its default and whether it may be repeated.
std::string option_text(const OptionSpec& option);

}  // namespace trivet::cli
