#include "cli/stats_view.h"

#include <thread>

#include "cli/listing.h"

namespace trivet::cli {

namespace {

constexpr auto kInterval = std::chrono::seconds(1);
// Long enough for a share of CPU time that means something.
constexpr auto kFirstInterval = std::chrono::milliseconds(250);

// One sample of each.
Result<std::vector<ContainerStats>> sample(Engine& engine, const StatsNames& names,
                                           Missing missing) {
  std::vector<ContainerStats> all;
  for (const std::string& name : TRY(names())) {
    auto stats = engine.stats(name);
    if (stats) {
      all.push_back(std::move(*stats));
    } else if (missing == Missing::kError) {
      return std::unexpected(cannot("measure", name, std::move(stats.error())));
    }
  }
  return all;
}

}  // namespace

void declare_stats_options(Command& command, StatsFlags& flags) {
  command.flag("--no-stream", flags.no_stream, "Measure once");
  add_format_option(command, flags.format);
}

Result<int> show_stats(Session& session, const StatsFlags& flags, const StatsNames& names,
                       Missing missing) {
  Engine* engine = TRY(session.engine());
  TRY(sample(*engine, names, missing));
  std::this_thread::sleep_for(kFirstInterval);
  const bool live = Session::stdout_is_terminal();
  for (;;) {
    const Listing listing = list_stats(TRY(sample(*engine, names, missing)));
    const std::string text = TRY(render_listing(listing, flags.format));
    // Home, the table, and the rest of the screen cleared: no flicker.
    if (live && !flags.no_stream) session.print("\x1b[H\x1b[J");
    session.print(text);
    TRY(session.flush());
    if (flags.no_stream || flags.format == "json") return 0;
    std::this_thread::sleep_for(kInterval);
  }
}

}  // namespace trivet::cli
