#include "vmm/relay.h"

#include <csignal>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

namespace trivet::vmm {

using guest::FrameType;

Result<Signals> Signals::block() {
  sigset_t set;
  sigfillset(&set);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  return Signals(std::move(fd));
}

int Signals::take() {
  signalfd_siginfo info{};
  while (read(fd_.get(), &info, sizeof info) == sizeof info) {
    const bool of_child = info.ssi_signo == SIGCHLD && info.ssi_code > 0;
    const bool of_own_write =
        info.ssi_signo == SIGPIPE && static_cast<pid_t>(info.ssi_pid) == getpid();
    if (!of_child && !of_own_write) return static_cast<int>(info.ssi_signo);
    if (of_child && on_child_) on_child_();
  }
  return 0;
}

Relay::Relay(EventLoop& loop, Connection& peer, Signals& signals, Options options)
    : loop_(loop),
      peer_(peer),
      signals_(signals),
      options_(std::move(options)),
      input_(loop, STDIN_FILENO, guest::kStreamWindow,
             {.on_data =
                  [this](std::string_view data) {
                    peer_.send(FrameType::kStdin, options_.session, data);
                  },
              .on_end =
                  [this] {
                    if (options_.on_input_end) return options_.on_input_end();
                    peer_.send(FrameType::kStdinEof, options_.session);
                  }}),
      stdout_{.type = FrameType::kStdout,
              .stream = {loop, STDOUT_FILENO,
                         [this](size_t bytes) { credit(FrameType::kStdout, bytes); }}},
      stderr_{.type = FrameType::kStderr, .stream = {loop, STDERR_FILENO, [this](size_t bytes) {
                                                       credit(FrameType::kStderr, bytes);
                                                     }}} {}

Result<> Relay::prepare_terminal() const {
  if (!options_.terminal) return {};
  termios attributes{};
  if (tcgetattr(STDIN_FILENO, &attributes) != 0) return fail_errno("tcgetattr");
  cfmakeraw(&attributes);
  if (tcsetattr(STDIN_FILENO, TCSANOW, &attributes) != 0) return fail_errno("tcsetattr");
  return {};
}

Result<> Relay::start() {
  started_ = true;
  send_size();
  input_.start();
  return loop_.watch(signals_.fd(), EPOLLIN, [this](uint32_t) { forward_signals(); });
}

void Relay::stop() {
  if (!started_) return;
  started_ = false;
  input_.stop();
  loop_.forget(signals_.fd());
}

Result<> Relay::handle(const guest::Frame& frame) {
  if (frame.type == FrameType::kStdout) return take_output(stdout_, frame.payload);
  if (frame.type == FrameType::kStderr) return take_output(stderr_, frame.payload);
  if (frame.type == FrameType::kCredit) {
    const guest::Credit credit = TRY(guest::read_credit(frame.payload));
    if (credit.stream == FrameType::kStdin) return input_.credit(credit.bytes);
  }
  return fail(ErrorCode::kCorrupt, "agent protocol: frame of type {} in session {}",
              static_cast<unsigned>(frame.type), frame.session);
}

Result<> Relay::take_output(Output& output, std::string_view data) {
  output.received += data.size();
  if (output.received > guest::kStreamWindow) {
    return fail(ErrorCode::kCorrupt, "agent protocol: more output than there was room for");
  }
  output.stream.add(data);
  // What a program on this side of the pipe would get.
  if (output.stream.is_broken() && !output.told_broken) {
    output.told_broken = true;
    send_signal(SIGPIPE);
  }
  return {};
}

void Relay::credit(FrameType type, size_t bytes) {
  (type == FrameType::kStdout ? stdout_ : stderr_).received -= bytes;
  if (peer_.is_open()) {
    peer_.send_frame(guest::make_credit(options_.session, type, static_cast<uint32_t>(bytes)));
  }
  check_drained();
}

void Relay::when_drained(std::function<void()> done) {
  when_drained_ = std::move(done);
  check_drained();
}

void Relay::check_drained() {
  if (!when_drained_ || stdout_.received != 0 || stderr_.received != 0) return;
  const auto done = std::exchange(when_drained_, nullptr);
  done();
}

void Relay::forward_signals() {
  while (const int signal = signals_.take()) {
    if (signal == SIGWINCH && options_.terminal) {
      send_size();
    } else {
      send_signal(signal);
    }
  }
}

// Somebody who sends signals faster than a guest takes them must not fill our memory.
void Relay::send_signal(int signal) {
  constexpr size_t kFull = 4U << 20U;
  if (peer_.pending() > kFull) return;
  peer_.send_frame(guest::make_number_frame(FrameType::kSignal, options_.session,
                                            static_cast<uint32_t>(signal)));
}

void Relay::send_size() {
  winsize size{};
  if (!options_.terminal || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0) return;
  peer_.send_frame(guest::make_resize(options_.session, size.ws_row, size.ws_col));
}

}  // namespace trivet::vmm
