#include "pod/infra/extension_process.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

#include "base/printable.h"
#include "base/process.h"
#include "base/text.h"

namespace trivet::pod {

namespace {

constexpr size_t kMaxPending = 4 * kMaxExtensionLine;
constexpr size_t kMaxLastWords = 512;

Result<> make_nonblocking(int fd) {
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return fail_errno("fcntl O_NONBLOCK");
  return {};
}

bool would_block() {
  return errno == EAGAIN || errno == EINTR;
}

}  // namespace

Result<> ExtensionProcess::start(const std::vector<std::string>& argv) {
  Pipe input = TRY(make_pipe());
  Pipe output = TRY(make_pipe());
  Pipe errors = TRY(make_pipe());
  pid_ = TRY(spawn_in_session(argv.front(), argv,
                              {{.fd = input.read_end.get(), .number = STDIN_FILENO},
                               {.fd = output.write_end.get(), .number = STDOUT_FILENO},
                               {.fd = errors.write_end.get(), .number = STDERR_FILENO}}));
  input_ = std::move(input.write_end);
  output_ = std::move(output.read_end);
  errors_ = std::move(errors.read_end);
  return watch();
}

Result<> ExtensionProcess::watch() {
  for (const UniqueFd* fd : {&input_, &output_, &errors_}) TRY(make_nonblocking(fd->get()));
  TRY(loop_.watch(input_.get(), 0, [this](uint32_t) { serve_input(); }));
  TRY(loop_.watch(output_.get(), EPOLLIN, [this](uint32_t) { serve_output(); }));
  return loop_.watch(errors_.get(), EPOLLIN, [this](uint32_t) { serve_errors(); });
}

void ExtensionProcess::close() {
  for (UniqueFd* fd : {&input_, &output_, &errors_}) {
    if (*fd) loop_.forget(fd->get());
    fd->reset();
  }
}

void ExtensionProcess::send(const std::string& line) {
  if (!input_) return;
  // An answer, or an event, which does no harm: it is one line more that is listened to.
  waits_ = false;
  pending_ += line + "\n";
  if (pending_.size() > kMaxPending) return give_up("does not read what it is told");
  serve_input();
  serve_output();
}

void ExtensionProcess::serve_input() {
  const ssize_t count = ::write(input_.get(), pending_.data(), pending_.size());
  if (count >= 0) {
    pending_.erase(0, static_cast<size_t>(count));
  } else if (!would_block()) {
    // It has closed its stdin; perhaps it wants to hear nothing.
    loop_.forget(input_.get());
    input_.reset();
    pending_.clear();
    return;
  }
  (void)loop_.change(input_.get(), pending_.empty() ? 0U : uint32_t{EPOLLOUT});
}

// Whether there may be more.
Result<bool> ExtensionProcess::read_output() {
  std::array<char, 16384> buffer{};
  const ssize_t count = ::read(output_.get(), buffer.data(), buffer.size());
  if (count < 0 && would_block()) return false;
  if (count <= 0) {
    loop_.forget(output_.get());
    output_.reset();
    return false;
  }
  TRY(lines_.feed({buffer.data(), static_cast<size_t>(count)}));
  return true;
}

Result<> ExtensionProcess::take_lines() {
  while (!waits_ && !ended_) {
    const auto line = TRY(lines_.next());
    if (!line) return {};
    const auto request = parse_request(*line);
    if (!request) {
      return fail(ErrorCode::kCorrupt, "sent a line that is no message: {}",
                  request.error().message());
    }
    waits_ = request->type == ExtensionRequest::Type::kPort ||
             request->type == ExtensionRequest::Type::kNumbers;
    handlers_.request(*request);
  }
  return {};
}

void ExtensionProcess::serve_output() {
  if (!output_ || ended_) return;
  Result<> taken = take_lines();
  if (taken && !waits_) {
    const auto more = read_output();
    taken = more ? take_lines() : std::unexpected(more.error());
  }
  if (!taken) return give_up(taken.error().message());
  if (output_) (void)loop_.change(output_.get(), waits_ ? 0U : uint32_t{EPOLLIN});
}

void ExtensionProcess::serve_errors() {
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(errors_.get(), buffer.data(), buffer.size());
  if (count < 0 && would_block()) return;
  if (count <= 0) {
    loop_.forget(errors_.get());
    errors_.reset();
    return;
  }
  last_words_.append(buffer.data(), static_cast<size_t>(count));
  if (last_words_.size() > kMaxLastWords) {
    last_words_.erase(0, last_words_.size() - kMaxLastWords);
  }
}

void ExtensionProcess::note_end(int exit_code) {
  pid_ = 0;
  // What it has said before it ended counts, as far as it needs no answer.
  constexpr int kMaxReads = 64;
  bool more = true;
  for (int i = 0; i < kMaxReads && output_ && more && !ended_; ++i) {
    more = read_output().value_or(false) && take_lines();
  }
  if (errors_ && !ended_) serve_errors();
  const std::string_view words = trim(last_words_);
  tell_end(fmt::format("ended with exit code {}{}{}", exit_code, words.empty() ? "" : ": ",
                       printable(words)));
}

void ExtensionProcess::give_up(const std::string& message) {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  tell_end(message);
}

void ExtensionProcess::tell_end(const std::string& message) {
  if (std::exchange(ended_, true)) return;
  close();
  handlers_.ended(message);
}

}  // namespace trivet::pod
