#include "cli/help.h"

#include <algorithm>

#include "base/text.h"
#include "cli/registry.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

constexpr size_t kWidth = 96;

// `text` broken between words, further lines indented by `indent`.
std::string wrapped(std::string_view text, size_t indent) {
  std::string out;
  size_t column = indent;
  for (const std::string& word : split(text, ' ')) {
    const bool fits = column + 1 + word.size() <= kWidth;
    if (!out.empty()) out += fits ? " " : "\n" + std::string(indent, ' ');
    if (!fits) column = indent;
    out += word;
    column += word.size() + 1;
  }
  return out;
}

// "  TERM    text", with the text on the next line when the term is long.
std::string definition(const std::string& term, const std::string& text, size_t column) {
  std::string line = "  " + term;
  if (line.size() + 2 > column) {
    line += '\n' + std::string(column, ' ');
  } else {
    line.append(column - line.size(), ' ');
  }
  return line + wrapped(text, column) + '\n';
}

std::string option_section(const OptionGroup& group) {
  constexpr size_t kColumn = 36;
  std::string out = (group.first.empty() ? "Options" : group.first) + ":\n";
  for (const OptionSpec* option : group.second) {
    // Long names line up whether or not there is a short one.
    const std::string indent = option->names.starts_with("--") ? "    " : "";
    out += definition(indent + option_term(*option), option_text(*option), kColumn);
  }
  return out + '\n';
}

std::string command_rows(std::string_view group, size_t column) {
  std::string out;
  for (const Entry& entry : entries()) {
    const std::string_view path = entry.path;
    const bool listed = group.empty() ? false : path.starts_with(std::string(group) + " ");
    if (listed)
      out += definition(std::string(path.substr(group.size() + 1)), entry.summary, column);
  }
  return out;
}

}  // namespace

std::vector<std::string> usage_lines(const Command& command) {
  std::vector<std::string> lines;
  const std::string start = fmt::format("trivet {} [OPTIONS]", command.path);
  if (command.usages.empty()) lines.push_back(start);
  for (const std::string& usage : command.usages) {
    lines.push_back(usage.empty() ? start : fmt::format("{} {}", start, usage));
  }
  return lines;
}

std::vector<OptionGroup> grouped_options(const std::vector<OptionSpec>& options) {
  std::vector<OptionGroup> groups;
  for (const OptionSpec& option : options) {
    if (option.hidden) continue;
    auto place = std::ranges::find(groups, option.group, &OptionGroup::first);
    if (place == groups.end()) place = groups.insert(groups.end(), {option.group, {}});
    place->second.push_back(&option);
  }
  return groups;
}

std::string option_term(const OptionSpec& option) {
  std::string term = join(option.all_names(), ", ");
  if (!option.placeholder.empty()) term += " " + option.placeholder;
  return term;
}

std::string option_text(const OptionSpec& option) {
  std::string text = option.help;
  if (!option.initial.empty()) text += fmt::format(" (default: {})", option.initial);
  if (option.repeatable) text += " (repeatable)";
  return text;
}

std::string command_help(const Command& command) {
  std::string out = command.summary + ".\n";
  if (!command.description.empty()) out += '\n' + wrapped(command.description, 0) + '\n';
  out += "\nUsage:\n";
  for (const std::string& line : usage_lines(command)) out += "  " + line + '\n';
  out += '\n';
  for (const OptionGroup& group : grouped_options(command.options)) out += option_section(group);
  if (!command.examples.empty()) out += "Examples:\n";
  for (const Example& example : command.examples) {
    out += fmt::format("  # {}\n  {}\n", example.what, example.command);
  }
  out += command.examples.empty() ? "" : "\n";
  out += "Options of every command (--data-dir, --state-dir, --error-format): `trivet --help`.\n";
  return out;
}

std::string group_help(std::string_view group) {
  return fmt::format(
      "{}.\n\nUsage:\n  trivet {} COMMAND\n\nCommands:\n{}\n"
      "`trivet {} COMMAND --help` explains a command.\n",
      group_summary(group), group, command_rows(group, 14), group);
}

std::string overview_help() {
  std::string out =
      "Run containers from OCI images, see what they do, limit and remove them.\n\n"
      "Usage:\n  trivet [OPTIONS] COMMAND …\n";
  std::string heading;
  for (const Entry& entry : entries()) {
    if (std::string_view(entry.group).empty()) continue;
    if (heading != entry.group) {
      heading = entry.group;
      out += fmt::format("\n{}:\n", heading);
    }
    out += definition(entry.path, entry.summary, 20);
  }
  Globals globals;
  const std::vector<OptionSpec> shared = global_options(globals);
  for (const OptionGroup& group : grouped_options(shared)) {
    out += '\n' + option_section(group);
  }
  out +=
      "`trivet COMMAND --help` explains a command. Exit codes: the container's own for run, exec,\n"
      "start -a and attach (125, 126 and 127 when it could not run); else 0, 1 for a failure and\n"
      "2 for a wrong command line.\n";
  return out;
}

}  // namespace trivet::cli
