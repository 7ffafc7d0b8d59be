#include "backend/podman_log.h"

#include "backend/log_pipe.h"
#include "base/text.h"

namespace trivet::backend {

namespace {

// Bytes of one stream, handed on line by line.
class LineCutter {
 public:
  LineCutter(LogLine::Stream stream, const std::function<void(const LogLine&)>& sink)
      : stream_(stream), sink_(sink) {}

  void add(std::string_view bytes) {
    rest_ += bytes;
    size_t begin = 0;
    for (size_t end = 0; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      sink_(parse_podman_log_line(std::string_view(rest_).substr(begin, end - begin), stream_));
    }
    rest_.erase(0, begin);
    // A container may never end its line.
    if (rest_.size() > kLongest) finish();
  }
  void finish() {
    if (rest_.empty()) return;
    LogLine line = parse_podman_log_line(rest_, stream_);
    line.partial = true;
    sink_(line);
    rest_.clear();
  }

 private:
  static constexpr size_t kLongest = size_t{1} << 20U;
  LogLine::Stream stream_;
  const std::function<void(const LogLine&)>& sink_;
  std::string rest_;
};

std::vector<std::string> log_words(const std::string& container, const LogOptions& options) {
  std::vector<std::string> words{"logs", "--timestamps"};
  if (options.follow) words.emplace_back("--follow");
  if (options.tail) words.push_back(fmt::format("--tail={}", *options.tail));
  if (options.since) words.push_back("--since=" + format_rfc3339(*options.since));
  if (options.until) words.push_back("--until=" + format_rfc3339(*options.until));
  words.insert(words.end(), {"--", container});
  return words;
}

Result<> read_log(const PodmanCli& cli, const std::vector<std::string>& words,
                  const ExecCommand& limits, const std::function<void(const LogLine&)>& sink) {
  LineCutter out(LogLine::Stream::kStdout, sink);
  LineCutter err(LogLine::Stream::kStderr, sink);
  const auto into = [](LineCutter& cutter) -> ByteSink {
    return [&cutter](std::string_view bytes) -> Result<> {
      cutter.add(bytes);
      return {};
    };
  };
  auto code = cli.stream(words, limits, {.stdin = {}, .stdout = into(out), .stderr = into(err)});
  out.finish();
  err.finish();
  // Whoever asked it to stop has what there was.
  if (!code && code.error().code() == ErrorCode::kCanceled) return {};
  if (!code) return std::unexpected(std::move(code.error()));
  return {};
}

}  // namespace

LogLine parse_podman_log_line(std::string_view line, LogLine::Stream stream) {
  LogLine parsed{.stream = stream, .text = std::string(line)};
  const size_t blank = line.find(' ');
  // An empty line is its time alone.
  const auto time = parse_timestamp(line.substr(0, blank));
  if (!time || !line.substr(0, blank).contains('T')) return parsed;
  parsed.time = *time;
  parsed.text = blank == std::string_view::npos ? "" : std::string(line.substr(blank + 1));
  return parsed;
}

std::unique_ptr<LogSource> follow_podman_log(std::shared_ptr<const PodmanCli> cli,
                                             const std::string& container,
                                             const LogOptions& options) {
  const auto read = [cli = std::move(cli), words = log_words(container, options),
                     follow = options.follow](const std::stop_token& stop,
                                              const std::function<void(const LogLine&)>& sink) {
    ExecCommand limits{.argv = {"podman logs"}, .stop = stop};
    if (!follow) limits.timeout = kPodmanTransfer;
    return read_log(*cli, words, limits, sink);
  };
  return make_log_pipe(read, options.stop);
}

}  // namespace trivet::backend
