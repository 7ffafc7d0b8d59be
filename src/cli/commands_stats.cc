// stats.
#include <memory>
#include <thread>

#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

constexpr auto kInterval = std::chrono::seconds(1);
// Long enough for a share of CPU time that means something.
constexpr auto kFirstInterval = std::chrono::milliseconds(250);

struct StatsFlags {
  bool no_stream = false;
  std::string format;
};

// One sample of each; those that ended meanwhile are left out unless they were named.
Result<std::vector<ContainerStats>> sample(Runtime& runtime, const Names& given) {
  Names names = given;
  if (given.empty()) {
    for (const ContainerInfo& info : TRY(runtime.list(false))) names.push_back(info.id);
  }
  std::vector<ContainerStats> all;
  for (const std::string& name : names) {
    auto stats = runtime.stats(name);
    if (stats) {
      all.push_back(std::move(*stats));
    } else if (!given.empty()) {
      return std::unexpected(cannot("measure", name, std::move(stats.error())));
    }
  }
  return all;
}

Result<int> stats(Session& session, const StatsFlags& flags, const Names& names) {
  Runtime* runtime = TRY(session.runtime());
  TRY(sample(*runtime, names));
  std::this_thread::sleep_for(kFirstInterval);
  const bool live = Session::stdout_is_terminal();
  for (;;) {
    const Listing listing = list_stats(TRY(sample(*runtime, names)));
    const std::string text = TRY(render_listing(listing, flags.format));
    // Home, the table, and the rest of the screen cleared: no flicker.
    if (live && !flags.no_stream) session.print("\x1b[H\x1b[J");
    session.print(text);
    TRY(session.flush());
    if (flags.no_stream || flags.format == "json") return 0;
    std::this_thread::sleep_for(kInterval);
  }
}

}  // namespace

Command make_stats() {
  Command command;
  const auto flags = std::make_shared<StatsFlags>();
  command.takes("[CONTAINER...]", 0, kAnyNumber, Completes::kContainer);
  command.description =
      "Measures every second what the containers use, all running ones if none is named, until "
      "Ctrl-C. JSON is printed once.";
  command.flag("--no-stream", flags->no_stream, "Measure once");
  add_format_option(command, flags->format);
  command.example("trivet stats --no-stream", "One table of all running containers");
  command.action = [flags](Session& session, const Names& names) {
    return stats(session, *flags, names);
  };
  return command;
}

}  // namespace trivet::cli
