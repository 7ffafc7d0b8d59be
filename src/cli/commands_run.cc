// run, create, start, attach, exec: what ends with a program's own exit code.
#include <cstdio>

#include "cli/commands.h"
#include "cli/exec_options.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/run_configuration.h"
#include "cli/run_options.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

constexpr int kOwnFailure = 125;  // Docker's code for what is not the container's

void use_docker_codes(Command& command) {
  command.usage_code = kOwnFailure;
  command.failure_code = kOwnFailure;
}

// What the program's exit code, or the keys that left it running, mean for trivet.
int end_of_streams(const Session& session, std::string_view name, bool detached, int exit_code) {
  if (!detached) return exit_code;
  // The cursor stands where the container's program left it.
  Session::status("");
  session.remark(fmt::format("it goes on: `trivet attach {}` comes back to it", name));
  return 0;
}

std::string subject(const RunOptions& options) {
  if (!options.name.empty()) return options.name;
  return options.image.empty() ? options.rootfs : options.image;
}

void show_progress(const Session& session, const RunFlags& flags, RunOptions& options) {
  if (flags.quiet) return;
  options.transfer.progress = lazy_progress(options.image);
  options.on_warning = [&session](const std::string& text) { session.warn(text); };
}

Result<int> run(Session& session, const RunFlags& flags,
                const std::vector<std::string>& arguments) {
  RunOptions options = TRY(finish_run_options(flags, arguments));
  if (!options.detach) TRY(check_terminal(options.terminal, options.interactive));
  show_progress(session, flags, options);
  Engine* engine = TRY(session.engine());
  auto result = engine->run(options);
  if (!result) {
    return std::unexpected(cannot("run", subject(options), std::move(result.error())));
  }
  if (!options.detach) {
    const std::string name = options.name.empty() ? short_id(result->id) : options.name;
    return end_of_streams(session, name, result->detached, result->exit_code);
  }
  session.print(result->id + '\n');
  return 0;
}

Result<int> create(Session& session, const RunFlags& flags,
                   const std::vector<std::string>& arguments) {
  RunOptions options = TRY(finish_run_options(flags, arguments));
  show_progress(session, flags, options);
  Engine* engine = TRY(session.engine());
  auto id = engine->create(options);
  if (!id) return std::unexpected(cannot("create", subject(options), std::move(id.error())));
  session.print(*id + '\n');
  return 0;
}

Command make_run_or_create() {
  Command command;
  command.usages = {"IMAGE [COMMAND [ARG...]]", "--rootfs DIR [--] COMMAND [ARG...]"};
  command.max_arguments = kAnyNumber;
  command.completes = {Completes::kImage, Completes::kCommand};
  command.stops_at_first_argument = true;
  use_docker_codes(command);
  return command;
}

struct StartFlags {
  bool attach = false;
  bool interactive = false;
  std::string detach_keys = "ctrl-p,ctrl-q";
};

Result<int> start_attached(Session& session, const StartFlags& flags, const std::string& name) {
  Engine* engine = TRY(session.engine());
  auto result = engine->start_attached(
      name, {.interactive = flags.interactive, .detach_keys = flags.detach_keys});
  if (!result) return std::unexpected(cannot("start", name, std::move(result.error())));
  return end_of_streams(session, name, result->detached, result->exit_code);
}

Result<int> start(Session& session, const StartFlags& flags,
                  const std::vector<std::string>& names) {
  if (flags.attach || flags.interactive) {
    if (names.size() == 1) return start_attached(session, flags, names.front());
    return std::unexpected(Error(ErrorCode::kInvalidArgument, "only one container can be attached")
                               .hint("start the others without -a and -i"));
  }
  Engine* engine = TRY(session.engine());
  int code = 0;
  for (const std::string& name : names) {
    if (auto started = engine->start(name); started) {
      session.print(name + '\n');
    } else {
      session.report(cannot("start", name, std::move(started.error())));
      code = kOwnFailure;
    }
  }
  return code;
}

struct AttachFlags {
  bool no_stdin = false;
  bool sig_proxy = true;
  std::string detach_keys = "ctrl-p,ctrl-q";
};

Result<int> attach(Session& session, const AttachFlags& flags, const std::string& name) {
  Engine* engine = TRY(session.engine());
  auto result = engine->attach(name, {.interactive = !flags.no_stdin,
                                      .detach_keys = flags.detach_keys,
                                      .forward_signals = flags.sig_proxy});
  if (!result) return std::unexpected(cannot("attach to", name, std::move(result.error())));
  return end_of_streams(session, name, result->detached, result->exit_code);
}

Result<int> exec(Session& session, const ExecFlags& flags, std::vector<std::string> arguments) {
  const std::string name = arguments.front();
  arguments.erase(arguments.begin());
  return exec_in(session, flags, name, name, std::move(arguments));
}

}  // namespace

Command make_run() {
  Command command = make_run_or_create();
  const auto flags = std::make_shared<RunFlags>();
  declare_run_options(command, *flags);
  const GivenOptions given = watch_given(command);
  command.description =
      "Creates a container from an image, pulled if it is missing, or from a directory, and runs "
      "COMMAND or what the image says. In the foreground, output, input and signals are passed on "
      "and the exit code is the container's: 128+N after signal N; 125 when trivet failed, 126 "
      "when "
      "COMMAND can't be executed, 127 when it isn't there. Options end at IMAGE.";
  command.example("trivet run --rm alpine echo hello", "Run one command and clean up")
      .example("trivet run --rm -it debian bash", "A shell with a terminal")
      .example("trivet run -d --name web --memory 64m --cpus 0.5 -p 8080:80 nginx",
               "A service in the background, limited, with a published port")
      .example("trivet run --rm --rootfs ./tree -- /bin/ls /",
               "Run on a directory, which stays as it is");
  command.action = [flags, given](Session& session,
                                  const std::vector<std::string>& arguments) -> Result<int> {
    if (!flags->run.detach) session.make_spare();
    TRY(apply_configuration(given, *flags));
    return run(session, *flags, arguments);
  };
  return command;
}

Command make_create() {
  Command command = make_run_or_create();
  const auto flags = std::make_shared<RunFlags>();
  declare_run_options(command, *flags);
  const GivenOptions given = watch_given(command);
  command.description =
      "Prepares a container as `trivet run` does and prints its id. `trivet start` runs it.";
  command.example("trivet create --name job alpine sleep 60", "Prepare now, start later");
  command.action = [flags, given](Session& session,
                                  const std::vector<std::string>& arguments) -> Result<int> {
    TRY(apply_configuration(given, *flags));
    return create(session, *flags, arguments);
  };
  return command;
}

Command make_start() {
  Command command;
  const auto flags = std::make_shared<StartFlags>();
  command.takes("CONTAINER...", 1, kAnyNumber, Completes::kContainer);
  use_docker_codes(command);
  command.flag("-a,--attach", flags->attach, "Connect to its output and end with its exit code");
  command.flag("-i,--interactive", flags->interactive, "Connect stdin too");
  command.value("--detach-keys", "KEYS", flags->detach_keys, "Keys that leave it running")
      .defaults_to("ctrl-p,ctrl-q");
  command.example("trivet start web", "Start a container again")
      .example("trivet start -a job", "See its output and wait for its end");
  command.action = [flags](Session& session, const std::vector<std::string>& names) {
    return start(session, *flags, names);
  };
  return command;
}

Command make_attach() {
  Command command;
  const auto flags = std::make_shared<AttachFlags>();
  command.takes("CONTAINER", 1, 1, Completes::kContainer);
  command.description =
      "Connects this terminal to the container's program until it ends or the detach keys are "
      "typed. The exit code is the container's.";
  command.flag("--no-stdin", flags->no_stdin, "Don't pass on stdin");
  command.flag("--sig-proxy", flags->sig_proxy, "Pass on signals").defaults_to("true");
  command.value("--detach-keys", "KEYS", flags->detach_keys, "Keys that leave it running")
      .defaults_to("ctrl-p,ctrl-q");
  command.example("trivet attach web", "Come back to a program that was detached from");
  command.action = [flags](Session& session, const std::vector<std::string>& names) {
    return attach(session, *flags, names.front());
  };
  return command;
}

Command make_exec() {
  Command command;
  const auto flags = std::make_shared<ExecFlags>();
  command.takes("CONTAINER COMMAND [ARG...]", 2, kAnyNumber, Completes::kContainer);
  command.completes.push_back(Completes::kNothing);
  command.stops_at_first_argument = true;
  use_docker_codes(command);
  command.description =
      "Runs COMMAND beside the container's own program, in the same namespaces and limits. The "
      "exit code is COMMAND's; 125, 126 and 127 are as with `trivet run`. Options end at "
      "CONTAINER.";
  declare_exec_options(command, *flags);
  command.example("trivet exec -it web sh", "A shell in a running container")
      .example("trivet exec -u 0 -e DEBUG=1 web /app/check",
               "One command, as root, with a variable");
  command.action = [flags](Session& session, const std::vector<std::string>& arguments) {
    return exec(session, *flags, arguments);
  };
  return command;
}

}  // namespace trivet::cli
