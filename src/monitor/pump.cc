// The caller's ends, and the pumps of exec.
#include "monitor/pump.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"

namespace trivet::monitor {

namespace {

constexpr size_t kBlock = 65536;
constexpr std::array kForwarded{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

sigset_t signal_set(SignalTap::Forward forward) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  if (forward == SignalTap::Forward::kYes) {
    for (const int signal : kForwarded) sigaddset(&set, signal);
  }
  return set;
}

using Clock = std::chrono::steady_clock;

// A pump between the caller and a child: through one descriptor both ways, or through pipes.
class ChildPump {
 public:
  ChildPump(const container::Started& child, const AttachOptions& options, InputEnd input,
            SignalTap signals)
      : group_(child.pid),
        pidfd_(child.pidfd.get()),
        options_(options),
        input_(std::move(input)),
        signals_(std::move(signals)),
        out_(options.stdout_fd),
        err_(options.stderr_fd) {
    if (options.timeout) deadline_ = Clock::now() + *options.timeout;
  }

  UniqueFd to_child;     // its stdin; with a terminal a duplicate of the master
  UniqueFd from_stdout;  // its stdout, or the master
  UniqueFd from_stderr;
  bool terminal = false;

  Result<AttachOutcome> run();

 private:
  enum Index { kSignals, kChild, kIn, kToChild, kFromOut, kFromErr, kOut, kErr, kCount };
  using Polls = std::array<pollfd, kCount>;

  [[nodiscard]] bool finished() const;
  [[nodiscard]] Polls make_polls() const;
  void handle(const Polls& polls);
  void handle_signals();
  void handle_input();
  void write_to_child();
  static void read_output(UniqueFd& from, OutputEnd& to);
  [[nodiscard]] int patience() const;
  void end_child();

  pid_t group_;  // that it leads
  int pidfd_;
  const AttachOptions& options_;
  InputEnd input_;
  SignalTap signals_;
  OutputEnd out_;
  OutputEnd err_;
  std::string stdin_data_;
  bool stdin_ended_ = false;
  bool exited_ = false;
  bool detached_ = false;
  std::optional<Clock::time_point> deadline_;
  bool timed_out_ = false;
};

bool ChildPump::finished() const {
  if (detached_) return true;
  return exited_ && !from_stdout && !from_stderr && !out_.waiting() && !err_.waiting();
}

ChildPump::Polls ChildPump::make_polls() const {
  Polls polls;
  for (pollfd& entry : polls) entry = {.fd = -1, .events = POLLIN, .revents = 0};
  polls[kSignals].fd = signals_.fd();
  if (!exited_) polls[kChild].fd = pidfd_;
  if (to_child && stdin_data_.empty()) polls[kIn].fd = input_.fd();
  if (!stdin_data_.empty())
    polls[kToChild] = {.fd = to_child.get(), .events = POLLOUT, .revents = 0};
  if (!out_.waiting()) polls[kFromOut].fd = from_stdout.get();
  if (!err_.waiting()) polls[kFromErr].fd = from_stderr.get();
  if (out_.waiting()) polls[kOut] = {.fd = out_.fd(), .events = POLLOUT, .revents = 0};
  if (err_.waiting()) polls[kErr] = {.fd = err_.fd(), .events = POLLOUT, .revents = 0};
  return polls;
}

void ChildPump::handle_signals() {
  while (const int signal = signals_.take()) {
    if (signal != SIGWINCH) {
      (void)send_signal(pidfd_, signal);
    } else if (const auto size = terminal_size(options_.stdin_fd); terminal && size) {
      (void)set_terminal_size(from_stdout.get(), *size);
    }
  }
}

void ChildPump::handle_input() {
  InputEnd::Input input = input_.read_some(kBlock);
  stdin_data_ = std::move(input.data);
  detached_ = input.detached;
  stdin_ended_ = input.ended;
  constexpr char kEndOfFile = 4;  // what a terminal makes the end of input of
  if (stdin_ended_ && terminal) stdin_data_ += kEndOfFile;
  if (stdin_ended_ && stdin_data_.empty()) to_child.reset();
}

void ChildPump::write_to_child() {
  const ssize_t count = ::write(to_child.get(), stdin_data_.data(), stdin_data_.size());
  if (count > 0) stdin_data_.erase(0, static_cast<size_t>(count));
  const bool broken = count < 0 && errno != EAGAIN && errno != EINTR;
  if (broken) stdin_data_.clear();
  if (broken || (stdin_ended_ && stdin_data_.empty())) to_child.reset();
}

void ChildPump::read_output(UniqueFd& from, OutputEnd& to) {
  std::array<char, kBlock> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t count = ::read(from.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return from.reset();  // a pty's master says EIO at the end
  to.add({buffer.data(), static_cast<size_t>(count)});
}

void ChildPump::handle(const Polls& polls) {
  if (polls[kSignals].revents != 0) handle_signals();
  if (polls[kIn].revents != 0) handle_input();
  if (polls[kToChild].revents != 0) write_to_child();
  if (polls[kFromOut].revents != 0) read_output(from_stdout, out_);
  if (polls[kFromErr].revents != 0) read_output(from_stderr, err_);
  // A closed reader closes the pipe, so that the child gets SIGPIPE as in any pipeline.
  if (polls[kOut].revents != 0 && !out_.write_some()) from_stdout.reset();
  if (polls[kErr].revents != 0 && !err_.write_some()) from_stderr.reset();
  if (polls[kChild].revents != 0) exited_ = true;
}

// Until something is due, in poll(2)'s terms. After the exit, a background process that has the
// pipes open may write on for as long as it takes.
int ChildPump::patience() const {
  constexpr int kDrainMs = 2000;
  constexpr int kLongestMs = 3'600'000;
  if (exited_) return kDrainMs;
  if (!deadline_) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, kLongestMs));
}

// Asks the child to end, and the second time makes it.
void ChildPump::end_child() {
  constexpr std::chrono::seconds kGrace{2};
  (void)send_signal(pidfd_, timed_out_ ? SIGKILL : SIGTERM);
  if (timed_out_) {
    deadline_.reset();
  } else {
    deadline_ = Clock::now() + kGrace;
  }
  timed_out_ = true;
}

Result<AttachOutcome> ChildPump::run() {
  while (!finished()) {
    Polls polls = make_polls();
    const int ready = ::poll(polls.data(), polls.size(), patience());
    if (ready < 0 && errno != EINTR) return fail_errno("poll");
    if (ready == 0 && exited_) break;
    if (ready > 0) handle(polls);
    if (deadline_ && !exited_ && Clock::now() >= *deadline_) end_child();
  }
  input_.restore();
  if (detached_) return AttachOutcome{.detached = true};
  // What it has started. It is not reaped yet, so its number is nobody else's.
  if (timed_out_) (void)::kill(-group_, SIGKILL);
  return AttachOutcome {
    .timed_out = timed_out_, .exit_code = TRY(reap_child(pidfd_))
  };
}

Result<> set_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
    return fail_errno("fcntl O_NONBLOCK");
  return {};
}

Result<ChildPump> make_pump(const container::Started& child, const AttachOptions& options) {
  using enum SignalTap::Forward;
  SignalTap signals = TRY(SignalTap::open(options.forward_signals ? kYes : kNo));
  InputEnd input = TRY(InputEnd::open(options));
  return ChildPump(child, options, std::move(input), std::move(signals));
}

}  // namespace

SignalBlock::SignalBlock() {
  const sigset_t set = signal_set(SignalTap::Forward::kYes);
  (void)pthread_sigmask(SIG_BLOCK, &set, &saved_);
}

SignalBlock::~SignalBlock() {
  (void)pthread_sigmask(SIG_SETMASK, &saved_, nullptr);
}

Result<SignalTap> SignalTap::open(Forward forward) {
  const sigset_t set = signal_set(forward);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  struct sigaction saved_pipe{};
  if (sigaction(SIGPIPE, &ignore, &saved_pipe) != 0) return fail_errno("sigaction");
  sigset_t saved;
  if (const int failure = pthread_sigmask(SIG_BLOCK, &set, &saved); failure != 0) {
    return std::unexpected(Error::from_errno(failure, "pthread_sigmask"));
  }
  return SignalTap(std::move(fd), saved, saved_pipe);
}

SignalTap::~SignalTap() {
  if (!fd_) return;
  (void)sigaction(SIGPIPE, &saved_pipe_, nullptr);
  (void)pthread_sigmask(SIG_SETMASK, &saved_, nullptr);
}

int SignalTap::take() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return 0;
  return static_cast<int>(info.ssi_signo);
}

OutputEnd::OutputEnd(int fd) : fd_(fd) {
  struct stat info{};
  stream_ = fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
}

bool OutputEnd::write_some() {
  // poll(2) promises room for PIPE_BUF bytes of a pipe, no more; the descriptor is the caller's and
  // shared with others, so it is not made non-blocking.
  constexpr size_t kPipeRoom = 4096;
  size_t length = pending_.size() - begin_;
  if (stream_) length = std::min(length, kPipeRoom);
  const ssize_t count = closed_ ? -1 : ::write(fd_, pending_.data() + begin_, length);
  if (count >= 0) {
    begin_ += static_cast<size_t>(count);
  } else if (closed_ || (errno != EAGAIN && errno != EINTR)) {
    closed_ = true;
    begin_ = pending_.size();
  }
  if (begin_ == pending_.size()) {
    pending_.clear();
    begin_ = 0;
  }
  return !closed_;
}

Result<InputEnd> InputEnd::open(const AttachOptions& options) {
  std::string keys = TRY(parse_detach_keys(options.terminal ? options.detach_keys : ""));
  InputEnd input(options.interactive ? options.stdin_fd : -1, std::move(keys));
  if (options.interactive && options.terminal && isatty(options.stdin_fd) != 0) {
    input.raw_.emplace(TRY(RawTerminal::enter(options.stdin_fd)));
  }
  return input;
}

InputEnd::Input InputEnd::read_some(size_t limit) {
  std::array<char, kBlock> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t count = ::read(fd_, buffer.data(), std::min(limit, buffer.size()));
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  if (count <= 0) {
    fd_ = -1;
    return {.ended = true};
  }
  DetachScanner::Result scanned = scanner_.feed({buffer.data(), static_cast<size_t>(count)});
  return {.data = std::move(scanned.forward), .detached = scanned.detached};
}

Result<AttachOutcome> pump_terminal(container::Started child, const AttachOptions& options) {
  ChildPump pump = TRY(make_pump(child, options));
  UniqueFd master = std::move(child.console);
  pump.terminal = true;
  if (const auto size = terminal_size(options.stdin_fd)) {
    TRY(set_terminal_size(master.get(), *size));
  }
  TRY(set_nonblocking(master.get()));
  pump.to_child = UniqueFd(fcntl(master.get(), F_DUPFD_CLOEXEC, 0));
  if (!pump.to_child) return fail_errno("fcntl F_DUPFD_CLOEXEC");
  pump.from_stdout = std::move(master);
  return pump.run();
}

Result<AttachOutcome> pump_streams(StreamEnds ends, const container::Started& child,
                                   const AttachOptions& options) {
  ChildPump pump = TRY(make_pump(child, options));
  for (const UniqueFd* end : {&ends.stdin_fd, &ends.stdout_fd, &ends.stderr_fd}) {
    if (end->valid()) TRY(set_nonblocking(end->get()));
  }
  if (options.interactive) pump.to_child = std::move(ends.stdin_fd);
  pump.from_stdout = std::move(ends.stdout_fd);
  pump.from_stderr = std::move(ends.stderr_fd);
  return pump.run();
}

}  // namespace trivet::monitor
