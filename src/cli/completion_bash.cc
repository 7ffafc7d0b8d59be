// The completion script of bash.
#include "base/text.h"
#include "cli/completion.h"
#include "cli/registry.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

// What `_trivet_offer` is told: a kind, and words for the kind "words".
std::string offer(const OptionSpec& option) {
  if (!option.choices.empty()) return "words " + join(option.choices, " ");
  if (option.completes == Completes::kFile) return "files";
  if (option.completes == Completes::kDirectory) return "directories";
  const char* source = completion_source(option.completes);
  return source != nullptr ? source : "nothing";
}

std::string offer(Completes kind) {
  if (kind == Completes::kFile || kind == Completes::kCommand) return "files";
  if (kind == Completes::kDirectory) return "directories";
  const char* source = completion_source(kind);
  return source != nullptr ? source : "nothing";
}

std::string option_names(const std::vector<OptionSpec>& options) {
  std::string words = "--help";
  for (const OptionSpec& option : options) {
    if (!option.hidden) words += " " + join(option.all_names(), " ");
  }
  return words;
}

// Lines of a case: "COMMAND OPTION" to what its value is completed by.
std::string value_cases(const std::string& command, const std::vector<OptionSpec>& options) {
  std::string out;
  for (const OptionSpec& option : options) {
    if (option.flag != nullptr) continue;
    std::string patterns;
    for (const std::string& name : option.all_names()) {
      patterns += (patterns.empty() ? "" : "|") + shell_quoted(command + " " + name);
    }
    out += fmt::format("    {}) echo {} ;;\n", patterns, shell_quoted(offer(option)));
  }
  return out;
}

std::string argument_case(const Command& command) {
  std::string kinds;
  for (const Completes kind : command.completes) kinds += " " + offer(kind);
  if (kinds.empty() || command.max_arguments == 0) kinds = " nothing";
  if (command.path == "completion") return "    'completion') set -- 'words bash zsh fish' ;;\n";
  if (command.path == "help") return "    'help') set -- commands ;;\n";
  return fmt::format("    {}) set --{} ;;\n", shell_quoted(command.path), kinds);
}

constexpr const char* kHeader =
    R"BASH(# bash completion for trivet, made by `trivet completion bash`.

_trivet_offer() {
  case $1 in
    words) shift; COMPREPLY=($(compgen -W "$*" -- "$cur")) ;;
    files) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    directories) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
    containers|images|volumes|pods)
      COMPREPLY=($(compgen -W "$(trivet __complete "$1" 2>/dev/null)" -- "$cur")) ;;
    commands) COMPREPLY=($(compgen -W "$(_trivet_commands '')" -- "$cur")) ;;
  esac
}
)BASH";

constexpr const char* kFooter = R"BASH(
_trivet() {
  local cur prev words cword
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n := cur prev words cword
  else
    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  local path='' arguments=0 i word value=''
  for ((i = 1; i < cword; i++)); do
    word=${words[i]}
    if [[ $word == -* ]]; then
      # The value of an option is no argument.
      [[ $word != *=* && -n $(_trivet_value "$path" "$word") ]] && ((i++))
    elif [[ -z $path ]] || [[ $path =~ ^(image|volume)$ ]]; then
      path="${path:+$path }$word"
    else
      ((arguments++))
    fi
  done
  COMPREPLY=()
  [[ $prev == -* ]] && value=$(_trivet_value "$path" "$prev")
  if [[ -n $value ]]; then
    _trivet_offer $value
  elif [[ $cur == --*=* ]]; then
    local option=${cur%%=*}
    value=$(_trivet_value "$path" "$option")
    cur=${cur#*=}
    _trivet_offer $value
    # readline splits words at "=", so that the value alone is replaced.
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(_trivet_options "$path")" -- "$cur"))
  elif [[ -z $path ]] || [[ $path =~ ^(image|volume)$ ]]; then
    COMPREPLY=($(compgen -W "$(_trivet_commands "$path")" -- "$cur"))
  else
    _trivet_offer $(_trivet_argument "$path" "$arguments")
  fi
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
  return 0
}
complete -F _trivet trivet
)BASH";

std::string first_words() {
  std::string words;
  for (const Entry& entry : entries()) {
    const std::string_view path = entry.path;
    if (std::string_view(entry.group).empty() || path.find(' ') != std::string_view::npos) continue;
    words += std::string(path) + " ";
  }
  return words + "image volume";
}

std::string second_words(std::string_view group) {
  std::string words;
  for (const Entry& entry : entries()) {
    const std::string_view path = entry.path;
    if (!path.starts_with(std::string(group) + " ")) continue;
    words += (words.empty() ? "" : " ") + std::string(path.substr(group.size() + 1));
  }
  return words;
}

}  // namespace

std::string bash_completion() {
  Globals globals;
  const std::vector<OptionSpec> shared = global_options(globals);
  std::string options;
  std::string values;
  std::string arguments;
  for (const Command& command : visible_commands()) {
    options += fmt::format("    {}) echo {} ;;\n", shell_quoted(command.path),
                           shell_quoted(option_names(command.options)));
    values += value_cases(command.path, command.options);
    arguments += argument_case(command);
  }
  std::string out = kHeader;
  out += fmt::format(
      "\n_trivet_commands() {{\n  case $1 in\n    image) echo '{}' ;;\n"
      "    volume) echo '{}' ;;\n    *) echo '{}' ;;\n  esac\n}}\n",
      second_words("image"), second_words("volume"), first_words());
  out += fmt::format("\n_trivet_options() {{\n  case $1 in\n{}    *) echo {} ;;\n  esac\n}}\n",
                     options, shell_quoted(option_names(shared) + " --version"));
  out +=
      "\n# COMMAND OPTION: how its value is completed; nothing for a flag.\n_trivet_value() {\n"
      "  case \"$1 $2\" in\n" +
      values + "    *' --data-dir'|*' --root'|*' --state-dir') echo directories ;;\n" +
      "    *' --error-format') echo 'words text json' ;;\n  esac\n}\n";
  out +=
      "\n# COMMAND NUMBER: how that argument is completed; the last kind repeats.\n"
      "_trivet_argument() {\n  local index=$2\n  case $1 in\n" +
      arguments +
      "    *) set -- nothing ;;\n  esac\n"
      "  ((index < $#)) || index=$(($# - 1))\n  shift \"$index\"\n  echo \"$1\"\n}\n";
  return out + kFooter;
}

}  // namespace trivet::cli
