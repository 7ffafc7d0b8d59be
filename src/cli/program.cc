#include "cli/program.h"

#include <fcntl.h>
#include <unistd.h>

#include "cli/help.h"
#include "cli/parse.h"
#include "cli/registry.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

constexpr int kUsage = 2;
constexpr int kCanceledByUser = 130;

int fail_with(const Session& session, const Error& error, int code) {
  session.report(error);
  return code;
}

// Docker's exit codes where the container's own could be meant (failure code 125).
int exit_code_for(const Command& command, ErrorCode code) {
  if (code == ErrorCode::kCanceled) return kCanceledByUser;
  if (command.failure_code != 125) return command.failure_code;
  if (code == ErrorCode::kCommandNotExecutable) return 126;
  if (code == ErrorCode::kCommandNotFound) return 127;
  return 125;
}

// One that the caller has closed would otherwise be the next file that is opened.
void open_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // The lowest number that is free: this one. Not close-on-exec, as all three.
    if (fcntl(stream, F_GETFD) < 0)
      (void)open("/dev/null", O_RDWR);  // NOLINT(android-cloexec-open)
  }
}

int print_and_end(Session& session, const std::string& text) {
  session.print(text);
  const auto flushed = session.flush();
  return flushed ? 0 : fail_with(session, flushed.error(), 1);
}

int run_command(const Command& command, Globals globals, const std::vector<std::string>& words) {
  const std::vector<OptionSpec> shared = global_options(globals);
  const auto parsed = parse_words(command, shared, words);
  Session session(std::move(globals));
  if (!parsed) return fail_with(session, parsed.error(), command.usage_code);
  if (parsed->help) return print_and_end(session, command_help(command));
  const auto code = command.action(session, parsed->arguments);
  if (!code) return fail_with(session, code.error(), exit_code_for(command, code.error().code()));
  const auto flushed = session.flush();
  if (!flushed) return fail_with(session, flushed.error(), 1);
  return *code;
}

Error unknown_command(const std::string& group, const std::string& word) {
  const std::string see = fmt::format("see `trivet{}{} --help`", group.empty() ? "" : " ", group);
  const std::string advice = advice_for_unknown(group, word);
  const std::string typed = group.empty() ? word : group + " " + word;
  return Error(ErrorCode::kInvalidArgument, fmt::format("unknown command \"{}\"", typed))
      .hint(advice.empty() ? see : advice + "; " + see);
}

// What stands before the command: `trivet [OPTIONS] COMMAND …`.
struct TopLevel {
  Globals globals;
  bool version = false;
  Parsed parsed;
};

Result<> parse_top(const std::vector<std::string>& words, TopLevel& top) {
  Command command;
  command.flag("-v,--version", top.version, "Show the version");
  command.stops_at_first_argument = true;
  command.max_arguments = kAnyNumber;
  top.parsed = TRY(parse_words(command, global_options(top.globals), words));
  return {};
}

int dispatch_group(TopLevel top) {
  std::vector<std::string>& words = top.parsed.arguments;
  const std::string group = words.front();
  Session session(top.globals);
  if (words.size() == 1 || words[1] == "--help" || words[1] == "-h") {
    return print_and_end(session, group_help(group));
  }
  const Entry* entry = find_entry(group + " " + words[1]);
  if (entry == nullptr) return fail_with(session, unknown_command(group, words[1]), kUsage);
  return run_command(make_command(*entry), std::move(top.globals),
                     {words.begin() + 2, words.end()});
}

int dispatch(TopLevel top) {
  std::vector<std::string>& words = top.parsed.arguments;
  Session session(top.globals);
  if (top.version) words = {"version"};
  if (words.empty()) return print_and_end(session, overview_help());
  if (is_group(words.front())) return dispatch_group(std::move(top));
  const Entry* entry = find_entry(words.front());
  if (entry == nullptr) return fail_with(session, unknown_command("", words.front()), kUsage);
  return run_command(make_command(*entry), std::move(top.globals),
                     {words.begin() + 1, words.end()});
}

}  // namespace

int run_trivet(const std::vector<std::string>& words) {
  open_closed_streams();
  TopLevel top;
  // Most calls have no options in front: those need no parser here.
  if (!words.empty() && !words.front().starts_with('-')) {
    top.parsed.arguments = words;
  } else if (auto parsed = parse_top(words, top); !parsed) {
    return fail_with(Session(top.globals), parsed.error(), kUsage);
  }
  if (top.parsed.help) {
    Session session(top.globals);
    return print_and_end(session, overview_help());
  }
  return dispatch(std::move(top));
}

}  // namespace trivet::cli
