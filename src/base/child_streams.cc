#include "base/child_streams.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/pipe_signal.h"
#include "base/process.h"
#include "base/stop_fd.h"

namespace trivet {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kBlock = 65536;
// Between SIGTERM and SIGKILL.
constexpr std::chrono::seconds kGrace{2};
// What holds the pipes after the child's end may write on for this long.
constexpr std::chrono::seconds kDrain{2};

// Where the child's input comes from.
class Source {
 public:
  explicit Source(const ExecStdio::Input& input) : input_(input) {
    if (const auto* text = std::get_if<std::string>(&input_)) data_ = *text;
    ended_ = std::holds_alternative<std::monostate>(input_) ||
             std::holds_alternative<std::string>(input_);
  }

  // To be polled for more, or -1.
  [[nodiscard]] int fd() const {
    const int* fd = std::get_if<int>(&input_);
    return fd == nullptr || ended_ || !data_.empty() ? -1 : *fd;
  }
  // Whether it can be asked for more at once.
  [[nodiscard]] bool is_function() const {
    return std::holds_alternative<ByteSource>(input_) && !ended_ && data_.empty();
  }
  [[nodiscard]] bool has_data() const { return !data_.empty(); }
  [[nodiscard]] bool finished() const { return ended_ && data_.empty(); }

  Result<> read_descriptor();
  Result<> call_function();
  // What fits; false when the child does not read any more.
  bool write_to(int fd);

 private:
  const ExecStdio::Input& input_;
  std::string data_;
  size_t begin_ = 0;
  bool ended_ = false;
};

Result<> Source::read_descriptor() {
  data_.resize(kBlock);
  const ssize_t count = ::read(std::get<int>(input_), data_.data(), data_.size());
  const int errnum = errno;
  data_.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  if (count == 0) ended_ = true;
  if (count >= 0 || errnum == EAGAIN || errnum == EINTR) return {};
  ended_ = true;
  return std::unexpected(Error::from_errno(errnum, "read the command's input"));
}

Result<> Source::call_function() {
  auto more = TRY_IN(std::get<ByteSource>(input_)(), "the command's input");
  if (more) data_ = std::move(*more);
  ended_ = !more;
  return {};
}

bool Source::write_to(int fd) {
  const ssize_t count = ::write(fd, data_.data() + begin_, data_.size() - begin_);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  begin_ += static_cast<size_t>(count);
  if (begin_ == data_.size()) {
    data_.clear();
    begin_ = 0;
  }
  return true;
}

// Where one stream of the child's output goes to.
class Drain {
 public:
  Drain(UniqueFd from, const ExecStdio::Output& output, const char* name)
      : from_(std::move(from)), output_(output), name_(name) {
    const int* fd = std::get_if<int>(&output);
    struct stat info{};
    if (fd != nullptr) is_stream_ = fstat(*fd, &info) == 0 && !S_ISREG(info.st_mode);
  }

  [[nodiscard]] bool waiting() const { return !data_.empty(); }
  // To be polled for reading, or -1: nothing is read while something waits to be written.
  [[nodiscard]] int from() const { return waiting() ? -1 : from_.get(); }
  // To be polled for writing, or -1.
  [[nodiscard]] int to() const { return waiting() ? std::get<int>(output_) : -1; }
  [[nodiscard]] bool finished() const { return !from_ && !waiting(); }
  // What is in the pipe now is still delivered, and nothing that comes later.
  void finish();
  void observe(std::function<void(std::string_view)> observer) { observer_ = std::move(observer); }

  Result<> read_some();
  Result<> write_some();

 private:
  Result<> deliver(std::string_view bytes);

  UniqueFd from_;
  const ExecStdio::Output& output_;
  const char* name_;
  std::function<void(std::string_view)> observer_;
  bool is_stream_ = false;
  bool failed_ = false;  // nobody takes the bytes any more
  std::string data_;
  std::optional<size_t> left_;  // after finish(): bytes that are still to be read
};

void Drain::finish() {
  int in_pipe = 0;
  if (!from_ || ioctl(from_.get(), FIONREAD, &in_pipe) != 0) in_pipe = 0;
  left_ = static_cast<size_t>(in_pipe);
  if (in_pipe == 0) from_.reset();
}

Result<> Drain::read_some() {
  std::array<char, kBlock> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const size_t wanted = std::min(buffer.size(), left_.value_or(buffer.size()));
  const ssize_t count = ::read(from_.get(), buffer.data(), wanted);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (left_ && count > 0) *left_ -= static_cast<size_t>(count);
  if (count <= 0 || left_ == 0U) from_.reset();
  if (count <= 0 || failed_) return {};
  return deliver({buffer.data(), static_cast<size_t>(count)});
}

Result<> Drain::deliver(std::string_view bytes) {
  if (observer_) observer_(bytes);
  if (const auto* sink = std::get_if<ByteSink>(&output_)) {
    if (auto taken = (*sink)(bytes); !taken) {
      failed_ = true;
      return std::unexpected(std::move(taken.error()).in(fmt::format("the command's {}", name_)));
    }
  } else if (std::holds_alternative<int>(output_)) {
    data_ = bytes;
  }
  return {};
}

// The descriptor is the caller's and perhaps blocking; poll(2) promises room for PIPE_BUF bytes.
Result<> Drain::write_some() {
  constexpr size_t kRoom = 4096;
  const size_t length = is_stream_ ? std::min(kRoom, data_.size()) : data_.size();
  const ssize_t count = ::write(std::get<int>(output_), data_.data(), length);
  if (count >= 0) {
    data_.erase(0, static_cast<size_t>(count));
  } else if (errno != EAGAIN && errno != EINTR) {
    auto failure = fail_errno("write the command's {}", name_);
    data_.clear();
    failed_ = true;
    return failure;
  }
  return {};
}

class Carrier {
 public:
  Carrier(ChildPipes pipes, int pidfd, const ExecCommand& command, const ExecStdio& stdio,
          const ChildHooks& hooks, int stop_fd)
      : to_child_(std::move(pipes.stdin_fd)),
        source_(stdio.stdin),
        out_(std::move(pipes.stdout_fd), stdio.stdout, "stdout"),
        err_(std::move(pipes.stderr_fd), stdio.stderr, "stderr"),
        pidfd_(pidfd),
        stop_fd_(stop_fd),
        command_(command),
        hooks_(hooks) {
    err_.observe(hooks.on_stderr);
    if (command.timeout) next_ = Clock::now() + *command.timeout;
  }

  Result<int> run();

 private:
  enum Index { kStop, kChild, kIn, kToChild, kFromOut, kFromErr, kOut, kErr, kCount };
  using Polls = std::array<pollfd, kCount>;

  [[nodiscard]] bool finished() const;
  [[nodiscard]] Polls make_polls() const;
  [[nodiscard]] int milliseconds_left() const;
  Result<> handle(const Polls& polls);
  Result<> handle_input(const Polls& polls);
  void handle_end();
  void handle_time();
  void end_child(Error why);
  void tell_child(const std::function<void()>& how, int signal) const;

  UniqueFd to_child_;
  Source source_;
  Drain out_;
  Drain err_;
  int pidfd_;
  int stop_fd_;
  const ExecCommand& command_;
  const ChildHooks& hooks_;
  std::optional<Clock::time_point> next_;   // the timeout, then the end of the grace
  std::optional<Clock::time_point> drain_;  // until then a background process may write on
  std::optional<Error> failure_;            // why the child was told to end
  bool exited_ = false;
};

bool Carrier::finished() const {
  return exited_ && (failure_ || (out_.finished() && err_.finished()));
}

Carrier::Polls Carrier::make_polls() const {
  Polls polls;
  for (pollfd& entry : polls) entry = {.fd = -1, .events = POLLIN, .revents = 0};
  if (!failure_) polls[kStop].fd = stop_fd_;
  if (!exited_) polls[kChild].fd = pidfd_;
  if (to_child_) {
    polls[kIn].fd = source_.fd();
    // POLLERR tells that the child has closed its input, also when nothing is to be written.
    const bool wants = source_.has_data() || source_.is_function();
    const short events = wants ? POLLOUT : 0;
    polls[kToChild] = {.fd = to_child_.get(), .events = events, .revents = 0};
  }
  polls[kFromOut].fd = out_.from();
  polls[kFromErr].fd = err_.from();
  polls[kOut] = {.fd = out_.to(), .events = POLLOUT, .revents = 0};
  polls[kErr] = {.fd = err_.to(), .events = POLLOUT, .revents = 0};
  return polls;
}

int Carrier::milliseconds_left() const {
  std::optional<Clock::time_point> until = next_;
  if (drain_ && (!until || *drain_ < *until)) until = drain_;
  if (!until) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - Clock::now()).count();
  constexpr int64_t kLongest = 1 << 30;
  return static_cast<int>(std::clamp<int64_t>(left, 0, kLongest));
}

void Carrier::end_child(Error why) {
  if (failure_) return;
  failure_ = std::move(why);
  next_ = Clock::now() + kGrace;
  to_child_.reset();
  if (!exited_) tell_child(hooks_.terminate, SIGTERM);
}

void Carrier::tell_child(const std::function<void()>& how, int signal) const {
  if (how) {
    how();
  } else {
    (void)send_signal(pidfd_, signal);
  }
}

void Carrier::handle_time() {
  const auto now = Clock::now();
  if (drain_ && now >= *drain_) {
    drain_.reset();
    out_.finish();
    err_.finish();
  }
  if (!next_ || now < *next_) return;
  next_.reset();
  if (failure_) {
    tell_child(hooks_.kill, SIGKILL);
  } else {
    end_child(
        Error(ErrorCode::kTimeout, fmt::format("\"{}\" has not ended within {} ms",
                                               command_.argv.front(), command_.timeout->count())));
  }
}

Result<> Carrier::handle_input(const Polls& polls) {
  if (!to_child_) return {};
  if (polls[kIn].revents != 0) TRY(source_.read_descriptor());
  if ((polls[kToChild].revents & POLLERR) != 0) {
    to_child_.reset();
    return {};
  }
  if ((polls[kToChild].revents & POLLOUT) != 0) {
    if (source_.is_function()) TRY(source_.call_function());
    if (source_.has_data() && !source_.write_to(to_child_.get())) to_child_.reset();
  }
  if (source_.finished()) to_child_.reset();
  return {};
}

// What the child has written is in the pipes by now and is delivered however long that takes; what
// a process that it left behind writes, for a while.
void Carrier::handle_end() {
  exited_ = true;
  to_child_.reset();
  drain_ = Clock::now() + kDrain;
}

Result<> Carrier::handle(const Polls& polls) {
  if (polls[kChild].revents != 0) handle_end();
  if (polls[kStop].revents != 0) {
    end_child(
        Error(ErrorCode::kCanceled, fmt::format("\"{}\" was told to stop", command_.argv.front())));
  }
  if (polls[kOut].revents != 0) TRY(out_.write_some());
  if (polls[kErr].revents != 0) TRY(err_.write_some());
  if (polls[kFromOut].revents != 0) TRY(out_.read_some());
  if (polls[kFromErr].revents != 0) TRY(err_.read_some());
  return handle_input(polls);
}

Result<int> Carrier::run() {
  if (source_.finished()) to_child_.reset();
  while (!finished()) {
    Polls polls = make_polls();
    const int ready = ::poll(polls.data(), polls.size(), milliseconds_left());
    if (ready < 0 && errno != EINTR) {
      end_child(Error::from_errno(errno, "poll"));
    } else if (ready > 0) {
      if (auto handled = handle(polls); !handled) end_child(std::move(handled.error()));
    }
    handle_time();
  }
  // The child is not reaped yet, so its number is nobody else's.
  if (failure_ && hooks_.group > 0) (void)::kill(-hooks_.group, SIGKILL);
  const int code = TRY(reap_child(pidfd_));
  if (failure_) return std::unexpected(std::move(*failure_));
  return code;
}

Result<> set_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return fail_errno("fcntl O_NONBLOCK");
  }
  return {};
}

}  // namespace

Result<PipePairs> make_child_pipes(const ExecStdio& stdio) {
  PipePairs pairs;
  if (std::holds_alternative<std::monostate>(stdio.stdin)) {
    pairs.childs.stdin_fd = TRY(open_file("/dev/null", O_RDONLY));
  } else {
    Pipe in = TRY(make_pipe());
    TRY(set_nonblocking(in.write_end.get()));
    pairs.childs.stdin_fd = std::move(in.read_end);
    pairs.ours.stdin_fd = std::move(in.write_end);
  }
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  pairs.ours.stdout_fd = std::move(out.read_end);
  pairs.ours.stderr_fd = std::move(err.read_end);
  pairs.childs.stdout_fd = std::move(out.write_end);
  pairs.childs.stderr_fd = std::move(err.write_end);
  for (const UniqueFd* fd : {&pairs.ours.stdout_fd, &pairs.ours.stderr_fd}) {
    TRY(set_nonblocking(fd->get()));
  }
  return pairs;
}

Result<int> carry_streams(ChildPipes pipes, int pidfd, const ExecCommand& command,
                          const ExecStdio& stdio, const ChildHooks& hooks) {
  const PipeSignalBlock no_pipe_signal;
  const StopFd stop(command.stop);
  return Carrier(std::move(pipes), pidfd, command, stdio, hooks, stop.get()).run();
}

}  // namespace trivet
