// The completion script of fish.
#include "base/text.h"
#include "cli/completion.h"
#include "cli/registry.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

// In fish a backslash and a quote are escaped within single quotes.
std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string value_words(const OptionSpec& option) {
  if (!option.choices.empty()) return " -x -a " + fish_quoted(join(option.choices, " "));
  if (option.completes == Completes::kFile) return " -r -F";
  if (option.completes == Completes::kDirectory) return " -x -a '(__fish_complete_directories)'";
  if (const char* source = completion_source(option.completes); source != nullptr) {
    return fmt::format(" -x -a '(trivet __complete {} 2>/dev/null)'", source);
  }
  return " -x";
}

std::string option_line(const std::string& condition, const OptionSpec& option) {
  std::string line = "complete -c trivet -n " + fish_quoted(condition);
  for (const std::string& name : option.all_names()) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (option.flag == nullptr) line += value_words(option);
  return line + " -d " + fish_quoted(option.help) + '\n';
}

std::string argument_line(const std::string& condition, const Command& command) {
  if (command.max_arguments == 0 || command.completes.empty()) return "";
  const std::string start = "complete -c trivet -n " + fish_quoted(condition);
  if (command.path == "completion") return start + " -a 'bash zsh fish'\n";
  const Completes kind = command.completes.front();
  if (kind == Completes::kFile || kind == Completes::kDirectory) return start + " -F\n";
  const char* source = completion_source(kind);
  if (source == nullptr) return "";
  return start + fmt::format(" -a '(trivet __complete {} 2>/dev/null)'\n", source);
}

constexpr const char* kHeader = R"(# fish completion for trivet, made by `trivet completion fish`.

# True when the command typed so far is the one given; without one, when there is none yet.
function __trivet_is
    set -l path
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word --data-dir --root --state-dir --error-format
            set skip 1
        else if string match -q -- '-*' $word
            continue
        else if test (count $path) = 0; or contains -- "$path" image volume
            set -a path $word
        end
    end
    test "$path" = "$argv"
end

complete -c trivet -f
)";

std::string command_lines(const Entry& entry) {
  const std::string_view path = entry.path;
  const size_t blank = path.find(' ');
  const std::string parent(blank == std::string_view::npos ? "" : path.substr(0, blank));
  const std::string_view word = blank == std::string_view::npos ? path : path.substr(blank + 1);
  std::string out =
      fmt::format("complete -c trivet -n {} -a {} -d {}\n",
                  fish_quoted(trim("__trivet_is " + parent)), word, fish_quoted(entry.summary));
  const Command command = make_command(entry);
  const std::string condition = fmt::format("__trivet_is {}", path);
  for (const OptionSpec& option : command.options) {
    if (!option.hidden) out += option_line(condition, option);
  }
  return out + argument_line(condition, command);
}

}  // namespace

std::string fish_completion() {
  std::string out = kHeader;
  Globals globals;
  for (const OptionSpec& option : global_options(globals))
    out += option_line("__trivet_is", option);
  for (const std::string_view group : {"image", "volume"}) {
    out += fmt::format("complete -c trivet -n __trivet_is -a {} -d {}\n", group,
                       fish_quoted(group_summary(group)));
  }
  out += "complete -c trivet -l help -d 'Explain this command'\n";
  for (const Entry& entry : entries()) {
    if (!std::string_view(entry.group).empty()) out += command_lines(entry);
  }
  return out;
}

}  // namespace trivet::cli
