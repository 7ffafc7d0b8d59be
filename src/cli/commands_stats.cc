// stats.
#include <memory>

#include "cli/commands.h"
#include "cli/stats_view.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

Result<int> stats(Session& session, const StatsFlags& flags, const Names& given) {
  const StatsNames names = [&session, &given]() -> Result<Names> {
    if (!given.empty()) return given;
    Names running;
    Engine* engine = TRY(session.engine());
    for (const ContainerInfo& info : TRY(engine->list(false))) running.push_back(info.id);
    return running;
  };
  return show_stats(session, flags, names, given.empty() ? Missing::kLeftOut : Missing::kError);
}

}  // namespace

Command make_stats() {
  Command command;
  const auto flags = std::make_shared<StatsFlags>();
  command.takes("[CONTAINER...]", 0, kAnyNumber, Completes::kContainer);
  command.description =
      "Measures every second what the containers use, all running ones if none is named, until "
      "Ctrl-C. JSON is printed once.";
  declare_stats_options(command, *flags);
  command.example("trivet stats --no-stream", "One table of all running containers");
  command.action = [flags](Session& session, const Names& names) {
    return stats(session, *flags, names);
  };
  return command;
}

}  // namespace trivet::cli
