#include "cli/log_writer.h"

#include "base/text.h"
#include "cli/values.h"

namespace trivet::cli {

namespace {

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

}  // namespace

void declare_logs_options(Command& command, LogsFlags& flags) {
  LogOptions* const options = &flags.logs;
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
  command.flag("-t,--timestamps", flags.timestamps, "Put its time before each line");
}

void LogWriter::write(const LogLine& line, std::string_view prefix) {
  FILE* stream = line.stream == LogLine::Stream::kStdout ? stdout : stderr;
  if (stream != last_) std::fflush(last_);
  std::string text;
  // Another container's line must not go on where this one has stopped.
  if (!at_line_start_ && prefix != open_) {
    text = "\n";
    at_line_start_ = true;
  }
  if (at_line_start_) text += prefix;
  if (timestamps_ && at_line_start_) text += format_rfc3339(line.time) + ' ';
  text += line.text;
  if (!line.partial) text += '\n';
  at_line_start_ = !line.partial;
  open_ = prefix;
  std::fwrite(text.data(), 1, text.size(), stream);
  if (follow_) std::fflush(stream);
  last_ = stream;
}

}  // namespace trivet::cli
