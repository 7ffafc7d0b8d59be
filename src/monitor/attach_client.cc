// The client of a monitor.
#include "monitor/attach_client.h"

#include <array>
#include <deque>
#include <memory>
#include <poll.h>
#include <unistd.h>

#include "monitor/pump.h"

namespace trivet::monitor {

namespace {

using Clock = std::chrono::steady_clock;

class Client {
 public:
  Client(UniqueFd connection, const AttachOptions& options, InputEnd input, SignalTap signals)
      : connection_(std::move(connection)),
        options_(options),
        input_(std::move(input)),
        signals_(std::move(signals)),
        out_(options.stdout_fd),
        err_(options.stderr_fd),
        buffer_(std::make_unique<char[]>(kMaxFrame)) {}

  Result<AttachOutcome> run();

 private:
  enum Index { kSignals, kIn, kConnection, kOut, kErr, kCount };
  using Polls = std::array<pollfd, kCount>;

  [[nodiscard]] Polls make_polls() const;
  Result<> handle(const Polls& polls);
  Result<> handle_signals();
  Result<> handle_input();
  Result<> handle_message();
  Result<> handle_output(OutputEnd& output);
  [[nodiscard]] bool is_third_interrupt(int signal);

  UniqueFd connection_;
  const AttachOptions& options_;
  InputEnd input_;
  SignalTap signals_;
  OutputEnd out_;
  OutputEnd err_;
  std::unique_ptr<char[]> buffer_;
  size_t credit_ = kStdinWindow;
  std::deque<Clock::time_point> interrupts_;
  std::optional<AttachOutcome> outcome_;
  bool stop_sent_ = false;
  bool abandoned_ = false;
};

Client::Polls Client::make_polls() const {
  Polls polls;
  for (pollfd& entry : polls) entry = {.fd = -1, .events = POLLIN, .revents = 0};
  polls[kSignals].fd = signals_.fd();
  if (credit_ > 0) polls[kIn].fd = input_.fd();
  // Nothing is read while something waits to be written: the monitor feels the back-pressure.
  if (!out_.waiting() && !err_.waiting() && !outcome_) polls[kConnection].fd = connection_.get();
  if (out_.waiting()) polls[kOut] = {.fd = out_.fd(), .events = POLLOUT, .revents = 0};
  if (err_.waiting()) polls[kErr] = {.fd = err_.fd(), .events = POLLOUT, .revents = 0};
  return polls;
}

bool Client::is_third_interrupt(int signal) {
  if (signal != SIGINT && signal != SIGTERM) return false;
  constexpr std::chrono::seconds kWithin{2};
  constexpr size_t kEnough = 3;
  const auto now = Clock::now();
  interrupts_.push_back(now);
  while (now - interrupts_.front() > kWithin) interrupts_.pop_front();
  return interrupts_.size() >= kEnough;
}

Result<> Client::handle_signals() {
  while (const int signal = signals_.take()) {
    // Only our own output is left to be written; whoever interrupts that does not want it.
    if (outcome_ && signal != SIGWINCH) {
      abandoned_ = true;
    } else if (signal == SIGWINCH) {
      if (options_.terminal) TRY(send_terminal_size(connection_.get(), options_));
    } else if (is_third_interrupt(signal)) {
      TRY(send_frame(connection_.get(), make_frame(StopRequest{.grace_ms = 0})));
    } else {
      TRY(send_frame(connection_.get(), make_frame(Frame::kSignal, signal)));
    }
  }
  return {};
}

Result<> Client::handle_input() {
  const InputEnd::Input input = input_.read_some(std::min(credit_, kMaxPayload));
  if (!input.data.empty()) {
    credit_ -= std::min(credit_, input.data.size());
    TRY(send_frame(connection_.get(), make_frame(Frame::kStdin, input.data)));
  }
  if (input.detached) {
    TRY(send_frame(connection_.get(), make_frame(Frame::kDetach)));
    outcome_ = AttachOutcome{.detached = true};
  } else if (input.ended) {
    TRY(send_frame(connection_.get(), make_frame(Frame::kStdinEof)));
  }
  return {};
}

Result<> Client::handle_message() {
  const auto message = TRY(receive_frame(connection_.get(), buffer_.get(), kMaxFrame));
  if (!message) {
    return std::unexpected(
        Error(ErrorCode::kSystem, "the container's monitor has gone")
            .hint(
                "the container may still run; `trivet ps -a` shows it, `trivet rm -f` removes it"));
  }
  switch (message->type) {
    case Frame::kStdout:
      out_.add(message->payload);
      return handle_output(out_);
    case Frame::kStderr:
      err_.add(message->payload);
      return handle_output(err_);
    case Frame::kCredit:
      credit_ += static_cast<uint32_t>(TRY(read_number(message->payload)));
      return {};
    case Frame::kExit:
      outcome_ = AttachOutcome {
        .exit_code = TRY(read_number(message->payload))
      };
      return {};
    default:
      return {};  // answers to signals: that the container has just ended is no error here
  }
}

// When the reader of our stdout has gone there is nobody to run for any more.
Result<> Client::handle_output(OutputEnd& output) {
  pollfd ready{.fd = output.fd(), .events = POLLOUT, .revents = 0};
  while (output.waiting() && ::poll(&ready, 1, 0) == 1) {
    if (output.write_some() || stop_sent_ || &output != &out_) continue;
    stop_sent_ = true;
    TRY(send_frame(connection_.get(), make_frame(StopRequest{})));
  }
  return {};
}

// What a send says when the monitor has closed its end: ECONNRESET first if it left frames unread.
bool is_closed(const Error& error) {
  return error.errnum() == EPIPE || error.errnum() == ECONNRESET;
}

Result<> Client::handle(const Polls& polls) {
  if (polls[kSignals].revents != 0) TRY(handle_signals());
  if (polls[kIn].revents != 0) TRY(handle_input());
  if (polls[kConnection].revents != 0 && !outcome_) TRY(handle_message());
  if (polls[kOut].revents != 0) TRY(handle_output(out_));
  if (polls[kErr].revents != 0) TRY(handle_output(err_));
  return {};
}

Result<AttachOutcome> Client::run() {
  while (!abandoned_ && (!outcome_ || out_.waiting() || err_.waiting())) {
    Polls polls = make_polls();
    if (::poll(polls.data(), polls.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno("poll");
    }
    auto handled = handle(polls);
    // The monitor may have said how it ended before it closed the connection.
    if (!handled && !is_closed(handled.error())) return std::unexpected(handled.error());
  }
  return *outcome_;
}

}  // namespace

Result<> send_terminal_size(int connection, const AttachOptions& options) {
  const auto size = terminal_size(options.stdin_fd);
  if (!size) return {};
  return send_frame(connection, make_frame(*size));
}

Result<AttachOutcome> attach_client(UniqueFd connection, const AttachOptions& options,
                                    Announce announce) {
  using enum SignalTap::Forward;
  SignalTap signals = TRY(SignalTap::open(options.forward_signals ? kYes : kNo));
  InputEnd input = TRY(InputEnd::open(options));
  if (announce == Announce::kYes) {
    const char bits = kAttachOutput;
    TRY(send_frame(connection.get(), make_frame(Frame::kAttach, {&bits, 1})));
    if (options.terminal) TRY(send_terminal_size(connection.get(), options));
  }
  return Client(std::move(connection), options, std::move(input), std::move(signals)).run();
}

}  // namespace trivet::monitor
