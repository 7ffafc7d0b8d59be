// The log of a container that is only memory.
#include "backend/null_state.h"

namespace trivet::backend {

namespace {

class NullLog final : public LogSource {
 public:
  NullLog(std::shared_ptr<NullState> state, std::string id, LogOptions options)
      : state_(std::move(state)), id_(std::move(id)), options_(std::move(options)) {}

  Result<std::optional<LogLine>> next(
      std::optional<std::chrono::steady_clock::time_point> deadline) override;

 private:
  // With the lock held.
  [[nodiscard]] const NullContainer* container() const;
  // Takes the next line that is wanted, if there is one.
  std::optional<LogLine> take();
  [[nodiscard]] bool is_over() const;

  std::shared_ptr<NullState> state_;
  std::string id_;
  LogOptions options_;
  std::optional<size_t> position_;  // of the next line
};

const NullContainer* NullLog::container() const {
  const auto found = state_->find(id_);
  return found ? *found : nullptr;
}

std::optional<LogLine> NullLog::take() {
  const NullContainer* source = container();
  if (source == nullptr) return std::nullopt;
  if (!position_) {
    const size_t count = source->lines.size();
    position_ = count - std::min<size_t>(count, options_.tail.value_or(count));
  }
  while (*position_ < source->lines.size()) {
    const LogLine& line = source->lines[(*position_)++];
    const bool early = options_.since && line.time < *options_.since;
    const bool late = options_.until && line.time > *options_.until;
    if (!early && !late) return line;
  }
  return std::nullopt;
}

bool NullLog::is_over() const {
  const NullContainer* source = container();
  return !options_.follow || source == nullptr || !is_up(source->info);
}

Result<std::optional<LogLine>> NullLog::next(
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  std::unique_lock lock(state_->mutex);
  std::optional<LogLine> line;
  const auto ready = [&] {
    line = take();
    return line.has_value() || is_over();
  };
  if (wait_until(*state_, lock, deadline, options_.stop, ready) == Wait::kLate) {
    return fail(ErrorCode::kTimeout, "no line of the log came in time");
  }
  return line;
}

}  // namespace

std::unique_ptr<LogSource> make_null_log(std::shared_ptr<NullState> state, std::string id,
                                         const LogOptions& options) {
  return std::make_unique<NullLog>(std::move(state), std::move(id), options);
}

}  // namespace trivet::backend
