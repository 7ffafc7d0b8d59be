// pod logs, exec, stats: what is asked of the containers of a pod.
#include <algorithm>
#include <memory>
#include <mutex>
#include <thread>

#include "cli/commands.h"
#include "cli/exec_options.h"
#include "cli/log_writer.h"
#include "cli/session.h"
#include "cli/stats_view.h"
#include "trivet/config.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

constexpr int kOwnFailure = 125;  // as `trivet exec`: what is not the program's

// ---------------------------------------------------------------- logs

struct PodLogsFlags {
  LogsFlags logs;
  std::string container;
};

struct Source {
  std::string id;
  std::string prefix;  // "web | ", as wide as the longest; empty when there is one only
};

std::vector<Source> sources_of(const PodInfo& pod) {
  size_t width = 0;
  for (const auto& member : pod.containers) width = std::max(width, member.name.size());
  std::vector<Source> sources;
  for (const auto& member : pod.containers) {
    const std::string prefix = fmt::format("{:<{}} | ", member.name, width);
    sources.push_back({member.container.id, pod.containers.size() > 1 ? prefix : ""});
  }
  return sources;
}

// All lines in the order of their times.
Result<> show_merged(Engine& engine, const LogsFlags& flags, const std::vector<Source>& sources) {
  std::vector<std::pair<LogLine, const Source*>> lines;
  for (const Source& source : sources) {
    TRY(engine.logs(source.id, flags.logs,
                    [&](const LogLine& line) { lines.emplace_back(line, &source); }));
  }
  std::ranges::stable_sort(lines, {}, [](const auto& entry) { return entry.first.time; });
  LogWriter writer(flags);
  for (const auto& [line, source] : lines) writer.write(line, source->prefix);
  return {};
}

// Each container is followed by a thread of its own.
Result<> follow(Engine& engine, const LogsFlags& flags, const std::vector<Source>& sources) {
  LogWriter writer(flags);
  std::mutex mutex;
  std::optional<Error> failure;
  {
    std::vector<std::jthread> threads;
    for (const Source& source : sources) {
      threads.emplace_back([&] {
        auto shown = engine.logs(source.id, flags.logs, [&](const LogLine& line) {
          const std::scoped_lock lock(mutex);
          writer.write(line, source.prefix);
        });
        const std::scoped_lock lock(mutex);
        if (!shown && !failure) failure = std::move(shown.error());
      });
    }
  }
  if (failure) return std::unexpected(std::move(*failure));
  return {};
}

Result<> show_logs(Engine& engine, const PodLogsFlags& flags, const std::string& name) {
  std::vector<Source> sources;
  if (flags.container.empty()) {
    sources = sources_of(TRY(engine.pod_status(name)));
  } else {
    sources.push_back({
      TRY(engine.pod_container(name, flags.container))
      , ""
    });
  }
  if (flags.logs.logs.follow) return follow(engine, flags.logs, sources);
  return show_merged(engine, flags.logs, sources);
}

Result<int> logs(Session& session, const PodLogsFlags& flags, const std::string& name) {
  Engine* engine = TRY(session.engine());
  if (auto shown = show_logs(*engine, flags, name); !shown) {
    return std::unexpected(cannot("show the logs of pod", name, std::move(shown.error())));
  }
  return 0;
}

// ---------------------------------------------------------------- exec, stats

using Timeout = std::optional<std::chrono::milliseconds>;

// A command that hangs does not hold up a script for ever, unless its user wants that. A project
// has no say: it is no command that runs something of it.
Result<Timeout> own_exec_time() {
  const ConfigSources own{.file = {}, .project = ProjectFile::kIgnore, .directory = {}};
  const auto time = TRY(Configuration::load(own))
  .settings().pod_exec_timeout;
  return time.count() == 0 ? Timeout() : Timeout(time);
}

struct PodExecFlags {
  ExecFlags exec;
  std::string container;
};

Result<int> exec(Session& session, const PodExecFlags& flags, Names arguments) {
  const std::string pod = arguments.front();
  arguments.erase(arguments.begin());
  Engine* engine = TRY(session.engine());
  auto id = engine->pod_container(pod, flags.container);
  if (!id) return std::unexpected(cannot("exec in pod", pod, std::move(id.error())));
  const std::string subject =
      flags.container.empty() ? pod : fmt::format("{}-{}", pod, flags.container);
  ExecFlags limited = flags.exec;
  const bool goes_on = limited.exec.terminal || limited.exec.detach;
  if (!limited.exec.timeout && !goes_on) limited.exec.timeout = TRY(own_exec_time());
  return exec_in(session, limited, *id, subject, std::move(arguments));
}

// The containers that run, of the pods named or of all.
Result<Names> running_members(Engine& engine, const Names& pods) {
  std::vector<PodInfo> all;
  for (const std::string& name : pods) {
    auto info = engine.pod_status(name);
    if (!info) return std::unexpected(cannot("measure pod", name, std::move(info.error())));
    all.push_back(std::move(*info));
  }
  if (pods.empty()) all = TRY(engine.list_pods());
  Names ids;
  for (const PodInfo& pod : all) {
    for (const PodContainerInfo& member : pod.containers) {
      if (member.container.status == ContainerStatus::kRunning) ids.push_back(member.container.id);
    }
  }
  return ids;
}

}  // namespace

Command make_pod_logs() {
  Command command;
  const auto flags = std::make_shared<PodLogsFlags>();
  command.takes("POD", 1, 1, Completes::kPod);
  command.description =
      "Shows what all containers of a pod printed, in the order of time and each line with the "
      "name of its container, or what one of them printed. stdout goes to stdout, stderr to "
      "stderr.";
  command.value("-c,--container", "NAME", flags->container, "Show this container only");
  declare_logs_options(command, flags->logs);
  command.example("trivet pod logs web", "All containers")
      .example("trivet pod logs -f --tail 20 -c app web", "The last lines of one and what follows");
  command.action = [flags](Session& session, const Names& names) {
    return logs(session, *flags, names.front());
  };
  return command;
}

Command make_pod_exec() {
  Command command;
  const auto flags = std::make_shared<PodExecFlags>();
  command.takes("POD COMMAND [ARG...]", 2, kAnyNumber, Completes::kPod);
  command.completes.push_back(Completes::kNothing);
  command.stops_at_first_argument = true;
  command.usage_code = kOwnFailure;
  command.failure_code = kOwnFailure;
  command.description =
      "Runs COMMAND in a container of the pod: in its only one, or in that which -c names. Without "
      "a terminal it has five minutes, or what is configured as pods.exec-timeout, if --timeout "
      "gives "
      "it no other time. All else is as with "
      "`trivet exec`.";
  command.value("-c,--container", "NAME", flags->container,
                "The container, where there are several");
  declare_exec_options(command, flags->exec);
  command.example("trivet pod exec -it -c app web sh", "A shell in one of several containers");
  command.action = [flags](Session& session, const Names& arguments) {
    return exec(session, *flags, arguments);
  };
  return command;
}

Command make_pod_stats() {
  Command command;
  const auto flags = std::make_shared<StatsFlags>();
  command.takes("[POD...]", 0, kAnyNumber, Completes::kPod);
  command.description =
      "Measures every second what the containers of the pods use, of all pods if none is named, "
      "until Ctrl-C. JSON is printed once.";
  declare_stats_options(command, *flags);
  command.example("trivet pod stats --no-stream web", "One table of a pod's containers");
  command.action = [flags](Session& session, const Names& names) -> Result<int> {
    Engine* engine = TRY(session.engine());
    return show_stats(
        session, *flags, [engine, &names] { return running_members(*engine, names); },
        Missing::kLeftOut);
  };
  return command;
}

}  // namespace trivet::cli
