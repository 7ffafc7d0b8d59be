// logs.
#include <cstdio>
#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/values.h"

namespace trivet::cli {

namespace {

struct LogsFlags {
  LogOptions logs;
  bool timestamps = false;
};

// Writes lines to the stream they came from, in order even when both end in the same place.
class LogWriter {
 public:
  LogWriter(bool timestamps, bool follow) : timestamps_(timestamps), follow_(follow) {}

  void write(const LogLine& line) {
    FILE* stream = line.stream == LogLine::Stream::kStdout ? stdout : stderr;
    if (stream != last_) std::fflush(last_);
    std::string text;
    if (timestamps_ && at_line_start_) text = format_rfc3339(line.time) + ' ';
    text += line.text;
    if (!line.partial) text += '\n';
    at_line_start_ = !line.partial;
    std::fwrite(text.data(), 1, text.size(), stream);
    if (follow_) std::fflush(stream);
    last_ = stream;
  }

 private:
  bool timestamps_;
  bool follow_;
  bool at_line_start_ = true;
  FILE* last_ = stdout;
};

Result<> store_tail(LogOptions& logs, const std::string& text) {
  if (text == "all" || text == "-1") {
    logs.tail.reset();
    return {};
  }
  const int64_t count = TRY(parse_int(text));
  if (count < 0) return fail(ErrorCode::kInvalidArgument, "{} is less than 0", count);
  logs.tail = static_cast<uint64_t>(count);
  return {};
}

Result<int> logs(Session& session, const LogsFlags& flags, const std::string& name) {
  LogWriter writer(flags.timestamps, flags.logs.follow);
  Runtime* runtime = TRY(session.runtime());
  auto shown = runtime->logs(name, flags.logs, [&](const LogLine& line) { writer.write(line); });
  if (!shown) return std::unexpected(cannot("show the logs of", name, std::move(shown.error())));
  return 0;
}

}  // namespace

Command make_logs() {
  Command command;
  const auto flags = std::make_shared<LogsFlags>();
  LogOptions* const options = &flags->logs;
  command.takes("CONTAINER", 1, 1, Completes::kContainer);
  command.description =
      "What the program wrote to stdout goes to stdout, what it wrote to stderr to stderr.";
  command.flag("-f,--follow", options->follow, "Go on with new lines until the container ends");
  command
      .parsed(
          "-n,--tail", "NUMBER",
          [options](const std::string& text) { return store_tail(*options, text); },
          "Start with the last NUMBER lines")
      .defaults_to("all");
  command.parsed(
      "--since", "TIME",
      [options](const std::string& text) -> Result<> {
        options->since = TRY(parse_moment(text));
        return {};
      },
      "Leave out what is older: 10m, 2026-01-02T03:04:05Z");
  command.parsed(
      "--until", "TIME",
      [options](const std::string& text) -> Result<> {
        options->until = TRY(parse_moment(text));
        return {};
      },
      "Leave out what is newer");
  command.flag("-t,--timestamps", flags->timestamps, "Put its time before each line");
  command.example("trivet logs -f --tail 20 web", "The last lines and what follows")
      .example("trivet logs --since 10m web 2>/dev/null", "stdout of the last ten minutes");
  command.action = [flags](Session& session, const std::vector<std::string>& names) {
    return logs(session, *flags, names.front());
  };
  return command;
}

}  // namespace trivet::cli
