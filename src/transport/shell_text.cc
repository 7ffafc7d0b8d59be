#include "transport/shell_text.h"

#include <algorithm>

#include "transport/characters.h"

namespace trivet::transport {

namespace {

bool is_plain(std::string_view word) {
  constexpr std::string_view kPlain = "_@%+:,./-";
  return !word.empty() && std::ranges::all_of(word, [&](char c) {
    return is_alphanumeric(c) || kPlain.find(c) != std::string_view::npos;
  });
}

bool is_variable_name(std::string_view name) {
  const bool chars =
      std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '_'; });
  return chars && !name.empty() && (name[0] < '0' || name[0] > '9');
}

Result<> check_no_nul(std::string_view text, std::string_view what) {
  if (text.find('\0') == std::string_view::npos) return {};
  return fail(ErrorCode::kInvalidArgument, "{} has a NUL byte, which no program can be given",
              what);
}

Result<> check_argv(const std::vector<std::string>& argv) {
  if (argv.empty() || argv.front().empty()) {
    return fail(ErrorCode::kInvalidArgument, "there is no command to run");
  }
  if (argv.front().front() == '-') {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("command \"{}\" would be taken for an option", argv.front()))
            .hint("give the program's path"));
  }
  for (size_t i = 0; i < argv.size(); ++i) {
    TRY(check_no_nul(argv[i], fmt::format("argument {}", i)));
  }
  return {};
}

Result<> check_environment(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    const size_t equals = entry.find('=');
    const std::string_view name = std::string_view(entry).substr(0, equals);
    if (equals == std::string::npos || !is_variable_name(name)) {
      return std::unexpected(
          Error(ErrorCode::kInvalidArgument,
                fmt::format("environment: \"{}\" is no name of a variable", name))
              .hint("an entry is NAME=VALUE; a name has letters, digits and _, no digit first"));
    }
    TRY(check_no_nul(entry, fmt::format("environment variable {}", name)));
  }
  return {};
}

// env(1) and not the shell's export: to a shell some names are read-only or have a meaning. A
// program whose name has a "=" would be a variable to env, so a shell of its own executes that.
std::string exec_words(const ExecCommand& command, std::string_view mark) {
  std::string text = "exec env --";
  if (!mark.empty()) text += fmt::format(" TRIVET_EXEC_ID={}", mark);
  for (const std::string& entry : command.env) text += " " + quote_word(entry);
  if (command.argv.front().contains('=')) text += R"( sh -c 'exec "$0" "$@"')";
  for (const std::string& argument : command.argv) text += " " + quote_word(argument);
  return text;
}

std::string change_directory(const std::string& workdir) {
  return fmt::format("cd {} || exit 126; ", quote_word(workdir));
}

Result<std::string> limited(std::string text) {
  if (text.size() <= kShellTextLimit) return text;
  return std::unexpected(
      Error(ErrorCode::kLimitExceeded,
            fmt::format("the command with its environment has {} bytes when quoted for the guest's "
                        "shell, which takes {}",
                        text.size(), kShellTextLimit))
          .hint("hand large data to the command as its input"));
}

}  // namespace

std::string quote_word(std::string_view word) {
  if (is_plain(word)) return std::string(word);
  std::string quoted = "'";
  for (size_t at = 0; at < word.size();) {
    const size_t apostrophe = std::min(word.find('\'', at), word.size());
    quoted += word.substr(at, apostrophe - at);
    const size_t after = std::min(word.find_first_not_of('\'', apostrophe), word.size());
    if (after > apostrophe)
      quoted += fmt::format("'\"{}\"'", word.substr(apostrophe, after - apostrophe));
    at = after;
  }
  return quoted + "'";
}

Result<> check_command(const ExecCommand& command) {
  TRY(check_argv(command.argv));
  TRY(check_environment(command.env));
  TRY(check_no_nul(command.workdir, "the working directory"));
  if (!command.workdir.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument, "the working directory \"{}\" is not absolute",
                command.workdir);
  }
  return {};
}

// The outer shell stays to turn a signal into 128 + N: an SSH client knows nothing of it. What the
// shell would say of the signal is not the command's and goes nowhere.
Result<std::string> command_text(const ExecCommand& command, std::string_view mark) {
  return limited(fmt::format("exec 3>&2 2>/dev/null; (exec 2>&3 3>&-; {}{}); exit $?",
                             change_directory(command.workdir), exec_words(command, mark)));
}

Result<std::string> login_text(const ExecCommand& command) {
  const std::string start = change_directory(command.workdir);
  if (command.argv.empty()) return start + R"(exec "${SHELL:-/bin/sh}" -l)";
  return limited(start + exec_words(command, ""));
}

std::string end_text(std::string_view mark) {
  // The mark is in no environment of this shell and its children, only in their arguments.
  return fmt::format(
      R"(each() {{ found=1; for file in $(grep -ls TRIVET_EXEC_ID={} /proc/[0-9]*/environ); do )"
      R"(found=0; file=${{file#/proc/}}; kill "$1" "${{file%/environ}}"; done; return $found; }} )"
      R"(2>/dev/null; each -TERM; for i in 1 2 3 4 5 6 7 8 9 10; do )"
      R"(sleep 0.2 2>/dev/null || sleep 1; each -0 || exit 0; done; each -KILL; exit 0)",
      mark);
}

}  // namespace trivet::transport
