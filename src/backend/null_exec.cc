#include "backend/null_exec.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <poll.h>
#include <unistd.h>

#include <fmt/ranges.h>

#include "base/fs.h"
#include "base/printable.h"
#include "base/stop_fd.h"

namespace trivet::backend {

namespace {

using Clock = std::chrono::steady_clock;

Error late(const ExecCommand& command) {
  return {ErrorCode::kTimeout, fmt::format("\"{}\" has not ended within {} ms",
                                           command.argv.front(), command.timeout->count())};
}

Error stopped() {
  return {ErrorCode::kCanceled, "the command was told to stop"};
}

// Long texts from a little before where they differ.
std::string excerpt(std::string_view text, size_t from) {
  constexpr size_t kBefore = 16;
  constexpr size_t kLength = 64;
  const size_t begin = from > kBefore ? from - kBefore : 0;
  const std::string_view part = text.substr(begin, kLength);
  return fmt::format("{}\"{}\"{}", begin > 0 ? "…" : "", printable(part),
                     begin + part.size() < text.size() ? "…" : "");
}

}  // namespace

NullInput::NullInput(const ExecStdio::Input& input, const ExecCommand& command)
    : input_(input), stop_(command.stop) {
  if (command.timeout) deadline_ = Clock::now() + *command.timeout;
  if (const auto* text = std::get_if<std::string>(&input)) data_ = *text;
}

Result<std::string> NullInput::read(size_t count) {
  while (data_.size() < count && TRY(read_more())) {
  }
  std::string bytes = data_.substr(0, count);
  data_.erase(0, bytes.size());
  return bytes;
}

Result<bool> NullInput::read_more() {
  if (const auto* source = std::get_if<ByteSource>(&input_)) {
    const auto more = TRY((*source)());
    if (more) data_ += *more;
    return more.has_value();
  }
  const int* fd = std::get_if<int>(&input_);
  return fd == nullptr ? false : read_descriptor(*fd);
}

Result<bool> NullInput::read_descriptor(int fd) {
  const StopFd stop(stop_);
  std::array<pollfd, 2> fds{pollfd{.fd = fd, .events = POLLIN, .revents = 0},
                            pollfd{.fd = stop.get(), .events = POLLIN, .revents = 0}};
  int left = -1;
  if (deadline_) {
    const auto time = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
    left = static_cast<int>(std::clamp<int64_t>(time.count(), 0, 1 << 30));
  }
  const int ready = ::poll(fds.data(), fds.size(), left);
  if (ready < 0 && errno != EINTR) return fail_errno("poll the command's input");
  if (ready == 0)
    return fail(ErrorCode::kTimeout, "the command waits for input that does not come");
  if (fds[1].revents != 0) return std::unexpected(stopped());
  if (fds[0].revents == 0) return true;
  std::array<char, 4096> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t count = ::read(fd, buffer.data(), buffer.size());
  if (count < 0) return fail_errno("read the command's input");
  data_.append(buffer.data(), static_cast<size_t>(count));
  return count > 0;
}

std::unexpected<Error> ExecPlayer::differs(std::string text) {
  mismatch_ = text;
  return std::unexpected(Error(ErrorCode::kInvalidArgument, std::move(text)));
}

Result<> ExecPlayer::check_env() {
  for (const std::string& entry : script_.env_) {
    if (std::ranges::find(command_.env, entry) != command_.env.end()) continue;
    return differs(fmt::format("its environment lacks \"{}\": it is {}", printable(entry),
                               printable(fmt::format("[{}]", fmt::join(command_.env, ", ")))));
  }
  return {};
}

Result<> ExecPlayer::read(const std::string& expected, size_t number) {
  const std::string found = TRY(input_.read(expected.size()));
  if (found == expected) return {};
  const auto [here, there] = std::ranges::mismatch(found, expected);
  const auto at = static_cast<size_t>(here - found.begin());
  if (here == found.end()) {
    return differs(fmt::format("step {}: its input ends after {} bytes, expected were {}: {}",
                               number, found.size(), expected.size(), excerpt(expected, at)));
  }
  return differs(fmt::format("step {}: its input differs at byte {}: expected {}, got {}", number,
                             at, excerpt(expected, at), excerpt(found, at)));
}

Result<> ExecPlayer::read_end(size_t number) {
  const std::string more = TRY(input_.read(1));
  if (more.empty()) return {};
  return differs(fmt::format("step {}: its input has not ended: next is \"{}\"", number,
                             printable(more + TRY(input_.read(1)))));
}

Result<> ExecPlayer::hang() {
  if (command_.timeout) return std::unexpected(late(command_));
  if (!command_.stop.stop_possible()) {
    return differs("it would hang for ever: it has neither a timeout nor a stop");
  }
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  (void)never.wait(lock, command_.stop, [] { return false; });
  return std::unexpected(stopped());
}

Result<> ExecPlayer::print(const ExecStdio::Output& output, std::string_view bytes) {
  if (const auto* sink = std::get_if<ByteSink>(&output)) return (*sink)(bytes);
  if (const int* fd = std::get_if<int>(&output)) return write_all(*fd, bytes, "command's output");
  return {};
}

Result<> ExecPlayer::play_step(const ExecScript::Step& step, size_t number) {
  using enum ExecScript::Kind;
  switch (step.kind) {
    case kPrint:
      return print(stdio_.stdout, step.bytes);
    case kPrintError:
      return print(stdio_.stderr, step.bytes);
    case kRead:
      return read(step.bytes, number);
    case kReadEnd:
      return read_end(number);
    case kHang:
      return hang();
    case kExit:
      exit_code_ = step.exit_code;
      return {};
    case kFail:
      return std::unexpected(*step.error);
  }
  return {};
}

Result<int> ExecPlayer::play() {
  TRY(check_env());
  size_t number = 0;
  for (const ExecScript::Step& step : script_.steps_) {
    if (command_.stop.stop_requested()) return std::unexpected(stopped());
    TRY(play_step(step, ++number));
    if (exit_code_) return *exit_code_;
  }
  return 0;
}

}  // namespace trivet::backend

namespace trivet {

ExecScript& ExecScript::add(Step step) {
  steps_.push_back(std::move(step));
  return *this;
}

ExecScript& ExecScript::prints(std::string bytes) {
  return add({.kind = Kind::kPrint, .bytes = std::move(bytes), .exit_code = 0, .error = {}});
}

ExecScript& ExecScript::prints_error(std::string bytes) {
  return add({.kind = Kind::kPrintError, .bytes = std::move(bytes), .exit_code = 0, .error = {}});
}

ExecScript& ExecScript::reads(std::string bytes) {
  return add({.kind = Kind::kRead, .bytes = std::move(bytes), .exit_code = 0, .error = {}});
}

ExecScript& ExecScript::reads_end() {
  return add({.kind = Kind::kReadEnd, .bytes = {}, .exit_code = 0, .error = {}});
}

ExecScript& ExecScript::hangs() {
  return add({.kind = Kind::kHang, .bytes = {}, .exit_code = 0, .error = {}});
}

ExecScript& ExecScript::exits(int code) {
  return add({.kind = Kind::kExit, .bytes = {}, .exit_code = code, .error = {}});
}

ExecScript& ExecScript::fails(Error error) {
  return add({.kind = Kind::kFail, .bytes = {}, .exit_code = 0, .error = std::move(error)});
}

ExecScript& ExecScript::needs_env(std::vector<std::string> env) {
  env_.insert(env_.end(), std::make_move_iterator(env.begin()), std::make_move_iterator(env.end()));
  return *this;
}

ExecScript& ExecScript::repeats() {
  repeats_ = true;
  return *this;
}

}  // namespace trivet
