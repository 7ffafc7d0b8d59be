// stop, kill, restart, pause, unpause, wait, rename, rm, prune.
#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;
using Grace = std::optional<std::chrono::seconds>;

Command on_containers() {
  Command command;
  command.takes("CONTAINER...", 1, kAnyNumber, Completes::kContainer);
  return command;
}

void declare_grace(Command& command, Grace& grace) {
  command
      .parsed(
          "-t,--time,--timeout", "TIME",
          [&grace](const std::string& text) -> Result<> {
            grace = std::chrono::ceil<std::chrono::seconds>(TRY(parse_duration(text)));
            return {};
          },
          "Time before KILL is sent")
      .defaults_to("the container's --stop-timeout");
}

// pause and unpause differ in one call.
Command make_simple(std::string_view verb, Result<> (Engine::*call)(std::string_view)) {
  Command command = on_containers();
  command.action = [verb, call](Session& session, const Names& names) -> Result<int> {
    Engine* engine = TRY(session.engine());
    return for_each_name(session, verb, names,
                         [&](const std::string& name) { return (engine->*call)(name); });
  };
  return command;
}

struct KillFlags {
  bool all = false;
  int signal = 9;
};

struct RemoveFlags {
  bool force = false;
  bool volumes = false;
  bool all = false;
};

Result<int> remove(Session& session, const RemoveFlags& flags, const Names& given) {
  const Names names = TRY(chosen_containers(session, flags.all, Which::kAll, given));
  Engine* engine = TRY(session.engine());
  int code = 0;
  for (const std::string& name : names) {
    auto removed = engine->remove(name, flags.force, flags.volumes);
    if (removed) {
      session.print(name + '\n');
    } else if (flags.force && removed.error().code() == ErrorCode::kNotFound) {
      session.remark(fmt::format("there is no container \"{}\"", name));
    } else {
      session.report(cannot("remove", name, std::move(removed.error())));
      code = 1;
    }
  }
  return code;
}

struct WaitFlags {
  std::optional<std::chrono::milliseconds> timeout;
};

Result<int> wait(Session& session, const WaitFlags& flags, const Names& names) {
  Engine* engine = TRY(session.engine());
  int code = 0;
  for (const std::string& name : names) {
    if (auto exit_code = engine->wait(name, flags.timeout); exit_code) {
      session.print(fmt::format("{}\n", *exit_code));
      TRY(session.flush());
    } else {
      session.report(cannot("wait for", name, std::move(exit_code.error())));
      code = 1;
    }
  }
  return code;
}

struct PruneFlags {
  bool force = false;
  std::string format;
};

}  // namespace

Command make_stop() {
  struct Flags {
    bool all = false;
    Grace grace;
  };
  Command command = on_containers();
  const auto flags = std::make_shared<Flags>();
  command.min_arguments = 0;
  command.description =
      "Sends the container's stop signal, then KILL when it is still there after the stop timeout.";
  declare_grace(command, flags->grace);
  command.flag("-a,--all", flags->all, "Stop all running containers");
  command.example("trivet stop web", "Give it the usual 10 seconds")
      .example("trivet stop -t 1 web db", "One second for each of two");
  command.action = [flags](Session& session, const Names& given) -> Result<int> {
    const Names names = TRY(chosen_containers(session, flags->all, Which::kRunning, given));
    Engine* engine = TRY(session.engine());
    return for_each_name(session, "stop", names,
                         [&](const std::string& name) { return engine->stop(name, flags->grace); });
  };
  return command;
}

Command make_kill() {
  Command command = on_containers();
  const auto flags = std::make_shared<KillFlags>();
  command.min_arguments = 0;
  command
      .parsed(
          "-s,--signal", "SIGNAL",
          [flags = flags.get()](const std::string& text) -> Result<> {
            flags->signal = TRY(parse_signal(text));
            return {};
          },
          "Signal to send, by name or number")
      .defaults_to("KILL")
      .one_of({"KILL", "TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"});
  command.flag("-a,--all", flags->all, "Signal all running containers");
  command.example("trivet kill -s HUP web", "Make a service read its configuration again");
  command.action = [flags](Session& session, const Names& given) -> Result<int> {
    const Names names = TRY(chosen_containers(session, flags->all, Which::kRunning, given));
    Engine* engine = TRY(session.engine());
    return for_each_name(session, "kill", names, [&](const std::string& name) {
      return engine->kill(name, flags->signal);
    });
  };
  return command;
}

Command make_restart() {
  Command command = on_containers();
  const auto grace = std::make_shared<Grace>();
  declare_grace(command, *grace);
  command.example("trivet restart web", "Stop it and start it again");
  command.action = [grace](Session& session, const Names& names) -> Result<int> {
    Engine* engine = TRY(session.engine());
    return for_each_name(session, "restart", names,
                         [&](const std::string& name) { return engine->restart(name, *grace); });
  };
  return command;
}

Command make_pause() {
  Command command = make_simple("pause", &Engine::pause);
  command.example("trivet pause web", "Freeze it; `trivet unpause web` lets it go on");
  return command;
}

Command make_unpause() {
  Command command = make_simple("unpause", &Engine::unpause);
  command.example("trivet unpause web", "Let it go on");
  return command;
}

Command make_wait() {
  Command command = on_containers();
  const auto flags = std::make_shared<WaitFlags>();
  command.parsed(
      "-t,--timeout", "TIME",
      [flags = flags.get()](const std::string& text) -> Result<> {
        flags->timeout = TRY(parse_duration(text));
        return {};
      },
      "Give up after TIME, with exit code 1");
  command.example("trivet wait job", "Print the exit code once it has ended");
  command.action = [flags](Session& session, const Names& names) {
    return wait(session, *flags, names);
  };
  return command;
}

Command make_rename() {
  Command command;
  command.takes("CONTAINER NEW_NAME", 2, 2, Completes::kContainer);
  command.example("trivet rename web old-web", "Make room for a new \"web\"");
  command.action = [](Session& session, const Names& names) -> Result<int> {
    Engine* engine = TRY(session.engine());
    auto renamed = engine->rename(names[0], names[1]);
    if (!renamed) return std::unexpected(cannot("rename", names[0], std::move(renamed.error())));
    return 0;
  };
  return command;
}

Command make_rm() {
  Command command = on_containers();
  const auto flags = std::make_shared<RemoveFlags>();
  command.min_arguments = 0;
  command.description =
      "Removes stopped containers with their writable layer and logs. With --force, a container "
      "that is not there is no failure.";
  command.flag("-f,--force", flags->force, "Kill what still runs");
  command.flag("-v,--volumes", flags->volumes, "Remove its anonymous volumes too");
  command.flag("-a,--all", flags->all, "Remove all containers");
  command.example("trivet rm -f web", "Kill and remove a container")
      .example("trivet rm -f --all", "Remove everything, running or not");
  command.action = [flags](Session& session, const Names& names) {
    return remove(session, *flags, names);
  };
  return command;
}

Command make_prune() {
  Command command;
  const auto flags = std::make_shared<PruneFlags>();
  command.description =
      "Removes every stopped container, and what dead monitors, crashes or kills left behind. Asks "
      "first on a terminal.";
  command.flag("-f,--force", flags->force, "Don't ask");
  add_format_option(command, flags->format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text or JSON";
  command.example("trivet prune -f", "Clean up without a question");
  command.action = [flags](Session& session, const Names&) -> Result<int> {
    if (!flags->force && !confirm("Remove all stopped containers?")) return 0;
    Engine* engine = TRY(session.engine());
    return print_pruned(session, TRY(engine->prune()), flags->format);
  };
  return command;
}

}  // namespace trivet::cli
