#include <deque>
#include <map>
#include <mutex>
#include <unistd.h>

#include "base/fs.h"
#include "trivet/transport.h"

namespace trivet {

namespace {

constexpr size_t kInputLimit = size_t{64} << 20U;

Result<std::string> read_source(const ByteSource& source) {
  std::string all;
  while (auto more = TRY(source())) {
    all += *more;
    if (all.size() > kInputLimit) {
      return fail(ErrorCode::kLimitExceeded, "a fake takes {} bytes of input", kInputLimit);
    }
  }
  return all;
}

Result<std::string> read_input(const ExecStdio::Input& input) {
  if (const auto* text = std::get_if<std::string>(&input)) return *text;
  if (const auto* fd = std::get_if<int>(&input)) return read_fd(*fd, "the input", kInputLimit);
  if (const auto* source = std::get_if<ByteSource>(&input)) return read_source(*source);
  return std::string();
}

Result<> write_output(const ExecStdio::Output& output, const std::string& text) {
  if (const auto* fd = std::get_if<int>(&output)) return write_all(*fd, text, "the output");
  if (const auto* sink = std::get_if<ByteSink>(&output); sink != nullptr && !text.empty()) {
    return (*sink)(text);
  }
  return {};
}

}  // namespace

struct FakeTransport::State {
  mutable std::mutex mutex;
  std::deque<Reply> waiting;
  std::map<std::vector<std::string>, Reply> by_argv;
  std::vector<Call> calls;

  void record(Call call) {
    const std::scoped_lock lock(mutex);
    calls.push_back(std::move(call));
  }
  Reply take_reply(const std::vector<std::string>& argv) {
    const std::scoped_lock lock(mutex);
    if (!waiting.empty()) {
      Reply reply = std::move(waiting.front());
      waiting.pop_front();
      return reply;
    }
    const auto found = by_argv.find(argv);
    return found == by_argv.end() ? Reply{} : found->second;
  }
};

FakeTransport::FakeTransport() : state_(std::make_unique<State>()) {}
FakeTransport::~FakeTransport() = default;

void FakeTransport::reply(Reply reply) {
  const std::scoped_lock lock(state_->mutex);
  state_->waiting.push_back(std::move(reply));
}

void FakeTransport::reply_to(std::vector<std::string> argv, Reply reply) {
  const std::scoped_lock lock(state_->mutex);
  state_->by_argv.insert_or_assign(std::move(argv), std::move(reply));
}

std::vector<FakeTransport::Call> FakeTransport::calls() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->calls;
}

Result<int> FakeTransport::exec(const ExecCommand& command, const ExecStdio& stdio) {
  if (command.argv.empty() || command.argv.front().empty()) {
    return fail(ErrorCode::kInvalidArgument, "there is no command to run");
  }
  std::string input = TRY(read_input(stdio.stdin));
  state_->record({.command = command, .input = input});
  const Reply reply = state_->take_reply(command.argv);
  if (reply.input && *reply.input != input) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" was given \"{}\", expected was \"{}\"",
                command.argv.front(), input, *reply.input);
  }
  TRY(write_output(stdio.stdout, reply.stdout));
  TRY(write_output(stdio.stderr, reply.stderr));
  if (reply.error) return std::unexpected(*reply.error);
  return reply.exit_code;
}

Result<std::vector<std::string>> FakeTransport::login_command(
    const std::vector<std::string>& argv) {
  state_->record({.command = {.argv = argv}, .login = true});
  std::vector<std::string> words{"fake-login"};
  words.insert(words.end(), argv.begin(), argv.end());
  return words;
}

}  // namespace trivet
