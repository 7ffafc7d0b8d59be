#include "backend/log_pipe.h"

namespace trivet::backend {

namespace {

class LogPipe final : public LogSource {
 public:
  LogPipe(LogReader reader, const std::stop_token& outer)
      : thread_([this, reader = std::move(reader)](const std::stop_token& stop) {
          read(reader, stop);
        }),
        on_outer_stop_(outer, [this] { thread_.request_stop(); }) {}

  Result<std::optional<LogLine>> next(
      std::optional<std::chrono::steady_clock::time_point> deadline) override;

 private:
  static constexpr size_t kAhead = 256;

  void read(const LogReader& reader, const std::stop_token& stop);
  void push(const LogLine& line, const std::stop_token& stop);

  std::mutex mutex_;  // of what follows, up to the thread
  std::condition_variable_any changed_;
  std::deque<LogLine> lines_;
  std::optional<Error> error_;
  bool ended_ = false;
  std::jthread thread_;
  std::stop_callback<std::function<void()>> on_outer_stop_;
};

void LogPipe::read(const LogReader& reader, const std::stop_token& stop) {
  auto done = reader(stop, [&](const LogLine& line) { push(line, stop); });
  const std::scoped_lock lock(mutex_);
  if (!done) error_ = std::move(done.error());
  ended_ = true;
  changed_.notify_all();
}

void LogPipe::push(const LogLine& line, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [this] { return lines_.size() < kAhead; });
  if (stop.stop_requested()) return;
  lines_.push_back(line);
  changed_.notify_all();
}

Result<std::optional<LogLine>> LogPipe::next(
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return !lines_.empty() || ended_; };
  if (!deadline) {
    changed_.wait(lock, ready);
  } else if (!changed_.wait_until(lock, *deadline, ready)) {
    return fail(ErrorCode::kTimeout, "no line of the log came in time");
  }
  if (lines_.empty()) {
    if (error_) return std::unexpected(*error_);
    return std::nullopt;
  }
  LogLine line = std::move(lines_.front());
  lines_.pop_front();
  changed_.notify_all();
  return line;
}

}  // namespace

std::unique_ptr<LogSource> make_log_pipe(LogReader reader, const std::stop_token& outer) {
  return std::make_unique<LogPipe>(std::move(reader), outer);
}

}  // namespace trivet::backend
