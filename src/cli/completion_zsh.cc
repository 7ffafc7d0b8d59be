// The completion script of zsh, on its _arguments.
#include "base/text.h"
#include "cli/completion.h"
#include "cli/registry.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

// What _arguments reads as syntax, made plain.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string action(Completes kind) {
  switch (kind) {
    case Completes::kFile:
      return "_files";
    case Completes::kDirectory:
      return "_files -/";
    case Completes::kCommand:
      return "_normal";
    case Completes::kNothing:
      return " ";
    default:
      return fmt::format("_trivet_names {}", completion_source(kind));
  }
}

std::string action(const OptionSpec& option) {
  if (!option.choices.empty()) return "(" + join(option.choices, " ") + ")";
  return action(option.completes);
}

// One spec for each spelling, which exclude each other unless the option may be repeated.
std::string option_specs(const OptionSpec& option) {
  std::string out;
  const std::vector<std::string> names = option.all_names();
  const std::string exclusive = option.repeatable ? "*" : fmt::format("({})", join(names, " "));
  for (const std::string& name : names) {
    const bool takes_value = option.flag == nullptr;
    const char* joint = !takes_value ? "" : name.starts_with("--") ? "=" : "+";
    std::string spec = fmt::format("{}{}{}[{}]", exclusive, name, joint, plain(option.help));
    if (takes_value) spec += fmt::format(":{}:{}", plain(option.placeholder), action(option));
    out += "        " + shell_quoted(spec) + " \\\n";
  }
  return out;
}

std::string argument_specs(const Command& command) {
  if (command.path == "completion") return "        '1:shell:(bash zsh fish)'\n";
  if (command.path == "help") return "        '1:command:_trivet_commands'\n";
  std::string out;
  for (size_t i = 0; i < command.completes.size(); ++i) {
    const bool last = i + 1 == command.completes.size();
    const std::string place = !last || command.max_arguments == 1 ? std::to_string(i + 1) : "*";
    const char* colons = last && command.completes[i] == Completes::kCommand ? "::" : ":";
    out +=
        "        " +
        shell_quoted(fmt::format("{}{}argument:{}", place, colons, action(command.completes[i]))) +
        (last ? "\n" : " \\\n");
  }
  return out.empty() ? "        '--help[Explain this command]'\n" : out;
}

std::string command_case(const Command& command, std::string_view word) {
  std::string out = fmt::format("    {})\n      _arguments -s {}\\\n", word,
                                command.stops_at_first_argument ? "-A '-*' " : "");
  for (const OptionSpec& option : command.options) {
    if (!option.hidden) out += option_specs(option);
  }
  return out + argument_specs(command) + "      ;;\n";
}

std::string described(std::string_view word, std::string_view summary) {
  return fmt::format("    {}\n", shell_quoted(fmt::format("{}:{}", word, plain(summary))));
}

std::string group_function(std::string_view group, const std::vector<Command>& commands) {
  std::string names;
  std::string cases;
  const std::string prefix = std::string(group) + " ";
  for (const Command& command : commands) {
    if (!command.path.starts_with(prefix)) continue;
    const std::string word = command.path.substr(prefix.size());
    names += described(word, command.summary);
    cases += command_case(command, word);
  }
  return fmt::format(
      "_trivet_{0}() {{\n  local state line\n  local -a names=(\n{1}  )\n"
      "  _arguments -C '1: :->command' '*:: :->rest'\n"
      "  case $state in\n    command) _describe -t commands 'trivet {0} command' names; return ;;\n"
      "  esac\n  case $words[1] in\n{2}  esac\n}}\n\n",
      group, names, cases);
}

constexpr const char* kHeader = R"ZSH(#compdef trivet
# zsh completion for trivet, made by `trivet completion zsh`.

_trivet_names() {
  local -a names=(${(f)"$(trivet __complete $1 2>/dev/null)"})
  compadd -a names
}

)ZSH";

constexpr const char* kFooter = R"(
if [[ $funcstack[1] == _trivet ]]; then
  _trivet "$@"
else
  compdef _trivet trivet
fi
)";

}  // namespace

std::string zsh_completion() {
  const std::vector<Command> commands = visible_commands();
  std::string names;
  std::string cases;
  for (const Command& command : commands) {
    if (command.path.find(' ') != std::string::npos) continue;
    names += described(command.path, command.summary);
    cases += command_case(command, command.path);
  }
  for (const std::string_view group : {"image", "volume"}) {
    names += described(group, group_summary(group));
    cases += fmt::format("    {0}) _trivet_{0} ;;\n", group);
  }
  Globals globals;
  std::string shared;
  for (const OptionSpec& option : global_options(globals)) shared += option_specs(option);
  std::string out = kHeader;
  out += fmt::format(
      "_trivet_commands() {{\n  local -a names=(\n{}  )\n"
      "  _describe -t commands 'trivet command' names\n}}\n\n",
      names);
  out += group_function("image", commands) + group_function("volume", commands);
  out += fmt::format(
      "_trivet() {{\n  local state line\n  _arguments -C \\\n{}"
      "        '(-)--help[Explain trivet]' \\\n        '1: :_trivet_commands' \\\n"
      "        '*:: :->rest'\n  [[ $state == rest ]] || return\n"
      "  case $words[1] in\n{}  esac\n}}\n",
      shared, cases);
  return out + kFooter;
}

}  // namespace trivet::cli
