// Every command by name. A declaration is made when it is asked for.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace trivet::cli {

struct Entry {
  const char* path;   // "image inspect"
  const char* group;  // heading in `trivet --help`; empty: hidden
  const char* summary;
  Command (*make)();
};

[[nodiscard]] std::span<const Entry> entries();

// The command with the path and summary of its entry filled in.
[[nodiscard]] Command make_command(const Entry& entry);

// The entry of exactly this path, or null.
[[nodiscard]] const Entry* find_entry(std::string_view path);
// True for the first word of a two-word command: "image", "volume".
[[nodiscard]] bool is_group(std::string_view word);
// What a group is for, in one line.
[[nodiscard]] std::string group_summary(std::string_view word);

// What to say about a command that does not exist: the nearest one, or what a command of Docker or
// Podman is called here. `group` is empty at the top.
[[nodiscard]] std::string advice_for_unknown(std::string_view group, std::string_view word);

}  // namespace trivet::cli
