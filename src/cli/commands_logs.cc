// logs.
#include <memory>

#include "cli/commands.h"
#include "cli/log_writer.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

Result<int> logs(Session& session, const LogsFlags& flags, const std::string& name) {
  LogWriter writer(flags);
  Engine* engine = TRY(session.engine());
  auto shown = engine->logs(name, flags.logs, [&](const LogLine& line) { writer.write(line); });
  if (!shown) return std::unexpected(cannot("show the logs of", name, std::move(shown.error())));
  return 0;
}

}  // namespace

Command make_logs() {
  Command command;
  const auto flags = std::make_shared<LogsFlags>();
  command.takes("CONTAINER", 1, 1, Completes::kContainer);
  command.description =
      "What the program wrote to stdout goes to stdout, what it wrote to stderr to stderr.";
  declare_logs_options(command, *flags);
  command.example("trivet logs -f --tail 20 web", "The last lines and what follows")
      .example("trivet logs --since 10m web 2>/dev/null", "stdout of the last ten minutes");
  command.action = [flags](Session& session, const std::vector<std::string>& names) {
    return logs(session, *flags, names.front());
  };
  return command;
}

}  // namespace trivet::cli
