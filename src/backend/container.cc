// Container and LogStream: what does not exist is made an empty result here, for every backend.
#include "backend/absent.h"
#include "trivet/runtime.h"

namespace trivet {

using backend::is_absent;
using backend::member_of;
using backend::unless_absent;

Result<std::optional<ContainerInfo>> Container::info(RwSize rw_size) const {
  return unless_absent(backend_->find(name_, rw_size));
}

Result<std::optional<ContainerStatus>> Container::state() const {
  return member_of(info(), &ContainerInfo::status);
}

Result<bool> Container::running() const {
  return TRY(state())
  == ContainerStatus::kRunning;
}

// By id where there is one: its name may be another image's by now.
Result<std::optional<Image>> Container::image() const {
  const auto found = TRY(info());
  if (!found || found->image_id.empty()) return std::nullopt;
  return Image(backend_, found->image_id);
}

Result<std::optional<uint64_t>> Container::rw_size() const {
  const auto found = TRY(info(RwSize::kMeasure));
  return found ? found->rw_size : std::nullopt;
}

Result<> Container::start() const {
  return backend_->start(name_);
}

Result<> Container::stop(std::chrono::seconds timeout) const {
  auto stopped = backend_->stop(name_, timeout);
  if (!stopped && is_absent(stopped.error())) return {};
  return stopped;
}

Result<std::optional<int>> Container::wait(std::optional<std::chrono::milliseconds> timeout,
                                           std::stop_token stop) const {
  return unless_absent(backend_->wait(name_, timeout, std::move(stop)));
}

Result<bool> Container::remove(Force force) const {
  auto removed = backend_->remove(name_, force);
  if (removed) return true;
  if (is_absent(removed.error())) return false;
  return std::unexpected(std::move(removed.error()));
}

Result<> Container::copy_in(const std::filesystem::path& source,
                            const std::string& destination) const {
  return backend_->copy_in(name_, source, destination);
}

Result<std::vector<std::string>> Container::login_command(
    const std::vector<std::string>& argv) const {
  if (argv.empty() || argv.front().empty()) {
    return fail(ErrorCode::kInvalidArgument, "log in to container \"{}\": there is no command",
                name_);
  }
  return backend_->login_command(name_, argv);
}

Result<LogStream> Container::logs(const LogOptions& options) const {
  auto source = TRY(unless_absent(backend_->logs(name_, options)));
  return LogStream(source ? std::move(*source) : nullptr);
}

Result<bool> Container::stream_initial_logs(const std::function<bool(const LogLine&)>& ready_check,
                                            std::chrono::milliseconds timeout,
                                            std::stop_token stop) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  auto source =
      TRY(unless_absent(backend_->logs(name_, {.follow = true, .stop = std::move(stop)})));
  if (!source) return false;
  for (;;) {
    auto line = (*source)->next(deadline);
    if (!line && line.error().code() == ErrorCode::kTimeout) return false;
    const auto& found = TRY(std::move(line));
    if (!found) return false;
    if (ready_check(*found)) return true;
  }
}

Result<std::optional<LogLine>> LogStream::next(std::optional<std::chrono::milliseconds> timeout) {
  if (!source_) return std::nullopt;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (timeout) deadline = std::chrono::steady_clock::now() + *timeout;
  return source_->next(deadline);
}

void LogStream::advance() {
  auto line = next();
  current_.reset();
  if (line) {
    current_ = std::move(*line);
  } else {
    error_ = std::move(line.error());
  }
}

}  // namespace trivet
