#include "cli/exec_options.h"

#include "base/text.h"
#include "cli/values.h"

namespace trivet::cli {

namespace {

constexpr int kTimedOut = 124;

// "300 s", "0.5 s".
std::string format_time(std::chrono::milliseconds time) {
  return fmt::format("{:g} s", static_cast<double>(time.count()) / 1000);
}

}  // namespace

void declare_exec_options(Command& command, ExecFlags& flags) {
  ExecOptions& options = flags.exec;
  command.flag("-d,--detach", options.detach, "Leave it running in the background");
  command.flag("-i,--interactive", options.interactive, "Keep stdin connected");
  command.flag("-t,--tty", options.terminal, "Give the program a terminal");
  command.list("-e,--env", "NAME[=VALUE]", options.env, "Set a variable, or pass on the caller's");
  command.list("--env-file", "FILE", flags.env_files, "Read variables from FILE")
      .completed_by(Completes::kFile);
  command.value("-w,--workdir", "DIR", options.workdir, "Start in DIR");
  command.value("-u,--user", "USER[:GROUP]", options.user, "Run as USER, a name or a number");
  command.flag("--privileged", options.privileged, "Give all capabilities");
  command.parsed(
      "--timeout", "TIME",
      [&options](const std::string& text) -> Result<> {
        options.timeout = TRY(parse_duration(text));
        return {};
      },
      "End it after TIME (30, 1m30s) with exit code 124");
  command.value("--invoke", "FUNCTION", options.invoke,
                "WebAssembly: call this export, with the arguments as numbers");
  command.value("--detach-keys", "KEYS", options.detach_keys, "Keys that leave it running")
      .defaults_to("ctrl-p,ctrl-q");
}

Result<> check_terminal(bool terminal, bool interactive) {
  if (!terminal || !interactive || Session::stdin_is_terminal()) return {};
  return std::unexpected(Error(ErrorCode::kInvalidArgument, "the input device is not a TTY")
                             .hint("leave out -t, or run this in a terminal"));
}

Result<int> exec_in(Session& session, const ExecFlags& flags, const std::string& name,
                    const std::string& subject, std::vector<std::string> words) {
  if (words.front() == "--" && words.size() > 1) words.erase(words.begin());
  ExecOptions options = flags.exec;
  options.env.clear();
  for (const std::string& file : flags.env_files) {
    for (std::string& variable : TRY(read_env_file(file))) {
      options.env.push_back(std::move(variable));
    }
  }
  options.env.insert(options.env.end(), flags.exec.env.begin(), flags.exec.env.end());
  options.command = std::move(words);
  if (!options.detach) TRY(check_terminal(options.terminal, options.interactive));
  Engine* engine = TRY(session.engine());
  auto result = engine->exec(name, options);
  if (!result) return std::unexpected(cannot("exec in", subject, std::move(result.error())));
  if (result->timed_out) {
    session.remark(
        fmt::format("ended after {}, which was its time", format_time(*options.timeout)));
    return kTimedOut;
  }
  return result->detached ? 0 : result->exit_code;
}

}  // namespace trivet::cli
