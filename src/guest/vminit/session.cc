#include "guest/vminit/session.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"

namespace trivet::guest {

namespace {

// A header and the data behind it, so that what was read is sent without a copy more.
struct OutputBuffer {
  std::array<char, kHeaderSize> header;
  std::array<char, kMaxData> data;
};
static_assert(sizeof(OutputBuffer) == kHeaderSize + kMaxData);

OutputBuffer& output_buffer() {
  static OutputBuffer buffer;
  return buffer;
}

Result<> set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return fail_errno("fcntl O_NONBLOCK");
  }
  return {};
}

}  // namespace

Result<ProgramPipes> make_program_pipes() {
  Pipe in = TRY(make_pipe());
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  TRY(set_nonblocking(in.write_end.get()));
  TRY(set_nonblocking(out.read_end.get()));
  TRY(set_nonblocking(err.read_end.get()));
  return ProgramPipes{.ours = {.in = std::move(in.write_end),
                               .out = std::move(out.read_end),
                               .err = std::move(err.read_end)},
                      .in = std::move(in.read_end),
                      .out = std::move(out.write_end),
                      .err = std::move(err.write_end)};
}

Result<ProgramPipes> make_null_streams() {
  ProgramPipes pipes;
  pipes.in = TRY(open_file("/dev/null", O_RDONLY));
  pipes.out = TRY(open_file("/dev/null", O_WRONLY));
  pipes.err = TRY(open_file("/dev/null", O_WRONLY));
  return pipes;
}

Result<StreamEnds> make_terminal_ends(UniqueFd master) {
  StreamEnds ends = TRY(make_socket_ends(std::move(master)));
  ends.terminal = true;
  return ends;
}

Result<StreamEnds> make_socket_ends(UniqueFd socket) {
  TRY(set_nonblocking(socket.get()));
  StreamEnds ends{.in = UniqueFd(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0))};
  if (!ends.in) return fail_errno("fcntl F_DUPFD_CLOEXEC");
  ends.out = std::move(socket);
  return ends;
}

Session::Session(uint32_t id, EventLoop& loop, Port& port, std::function<void(Session&)> finished)
    : id_(id), loop_(loop), port_(port), finished_(std::move(finished)) {
  outputs_[1].type = FrameType::kStderr;
}

Session::~Session() {
  loop_.clear_timer(timer());
  for (Output& output : outputs_) close_output(output);
  close_input();
}

void Session::attach(pid_t pid, StreamEnds ends) {
  pid_ = pid;
  terminal_ = ends.terminal;
  input_ = std::move(ends.in);
  outputs_[0].fd = std::move(ends.out);
  outputs_[1].fd = std::move(ends.err);
  if (input_ended_ && !terminal_ && pending_.empty()) close_input();
  update_input();
}

void Session::attach_connection(StreamEnds ends) {
  connected_ = true;
  exit_code_ = 0;
  attach(0, std::move(ends));
  open_streams();
}

void Session::open_streams() {
  open_ = true;
  update_outputs();
}

// Somebody else may keep the streams open (a process that was left behind): they are given up after
// a while.
void Session::ended(int exit_code) {
  pid_ = 0;
  exit_code_ = exit_code;
  close_input();
  credit_input(pending_.size() - written_);
  pending_.clear();
  written_ = 0;
  open_streams();
  drain_for_a_while();
  finish_if_drained();
}

void Session::drain_for_a_while() {
  constexpr std::chrono::milliseconds kPatience{2000};
  loop_.set_timer(timer(), kPatience, [this] {
    const bool host_is_slow = congested_ || std::ranges::any_of(outputs_, [](const Output& output) {
                                return output.fd && output.window == 0;
                              });
    if (host_is_slow) return drain_for_a_while();  // there is more to read
    for (Output& output : outputs_) close_output(output);
    finish_if_drained();
  });
}

void Session::finish_if_drained() {
  if (!exit_code_ || outputs_[0].fd || outputs_[1].fd || !finished_) return;
  const auto finished = std::exchange(finished_, nullptr);
  finished(*this);
}

void Session::set_congested(bool congested) {
  congested_ = congested;
  update_outputs();
}

void Session::update_outputs() {
  for (Output& output : outputs_) update_output(output);
}

// Taken out of the loop altogether while it must not be read: a pipe without writers is always
// "ready".
void Session::update_output(Output& output) {
  const bool wanted = open_ && output.fd && output.window > 0 && !congested_;
  if (wanted == output.watched) return;
  output.watched = wanted;
  if (!wanted) return loop_.forget(output.fd.get());
  auto watched =
      loop_.watch(output.fd.get(), EPOLLIN, [this, &output](uint32_t) { read_output(output); });
  if (!watched) close_output(output);
}

void Session::read_output(Output& output) {
  OutputBuffer& buffer = output_buffer();
  const size_t most = std::min<size_t>(buffer.data.size(), output.window);
  const ssize_t count = ::read(output.fd.get(), buffer.data.data(), most);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {  // a terminal whose last slave is closed says EIO
    close_output(output);
    return finish_if_drained();
  }
  const auto size = static_cast<uint32_t>(count);
  buffer.header = print_header({.size = size, .session = id_, .type = output.type});
  port_.send({buffer.header.data(), kHeaderSize + size});
  output.window -= size;
  update_output(output);
}

void Session::close_output(Output& output) {
  if (output.watched) loop_.forget(output.fd.get());
  output.watched = false;
  output.fd.reset();
}

Result<> Session::take_credit(const Credit& credit) {
  for (Output& output : outputs_) {
    if (output.type != credit.stream) continue;
    if (credit.bytes > kStreamWindow - output.window) {
      return fail(ErrorCode::kCorrupt, "agent protocol: more credit than was sent");
    }
    output.window += credit.bytes;
    update_output(output);
    return {};
  }
  return fail(ErrorCode::kCorrupt, "agent protocol: credit for a stream of the host's");
}

Result<> Session::take_input(std::string_view data) {
  if (input_ended_) return fail(ErrorCode::kCorrupt, "agent protocol: input after its end");
  if (data.size() > kStreamWindow - (pending_.size() - written_)) {
    return fail(ErrorCode::kCorrupt, "agent protocol: more input than the window has");
  }
  if (!input_ && (pid_ != 0 || exit_code_)) {  // nobody reads it
    credit_input(data.size());
    return {};
  }
  pending_.append(data);
  if (takes_input()) write_input();
  return {};
}

Result<> Session::end_input() {
  if (input_ended_) return fail(ErrorCode::kCorrupt, "agent protocol: input ends twice");
  input_ended_ = true;
  // A terminal has no end: its user types one.
  if (takes_input() && !terminal_ && pending_.empty()) close_input();
  return {};
}

void Session::write_input() {
  const size_t before = written_;
  while (input_ && written_ < pending_.size()) {
    const ssize_t count =
        ::write(input_.get(), pending_.data() + written_, pending_.size() - written_);
    if (count > 0) {
      written_ += static_cast<size_t>(count);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) break;
    close_input();  // nobody reads it any more
  }
  if (!input_) written_ = pending_.size();
  credit_input(written_ - before);
  if (written_ == pending_.size()) {
    pending_.clear();
    written_ = 0;
    if (input_ended_ && !terminal_) close_input();
  } else if (written_ > kMaxData) {
    pending_.erase(0, written_);
    written_ = 0;
  }
  update_input();
}

void Session::update_input() {
  const bool wanted = input_ && written_ < pending_.size();
  if (wanted == input_watched_) return;
  input_watched_ = wanted;
  if (!wanted) return loop_.forget(input_.get());
  auto watched = loop_.watch(input_.get(), EPOLLOUT, [this](uint32_t) { write_input(); });
  if (!watched) close_input();
}

void Session::credit_input(size_t bytes) {
  if (bytes == 0) return;
  port_.send(make_credit(id_, FrameType::kStdin, static_cast<uint32_t>(bytes)));
}

void Session::close_input() {
  if (input_watched_) loop_.forget(input_.get());
  input_watched_ = false;
  // A socket whose other direction goes on has an end of its own; to others this means nothing.
  if (input_) (void)::shutdown(input_.get(), SHUT_WR);
  input_.reset();
}

void Session::resize(WindowSize size) {
  if (!terminal_ || !outputs_[0].fd) return;
  const winsize window{.ws_row = size.rows, .ws_col = size.columns};
  (void)::ioctl(outputs_[0].fd.get(), TIOCSWINSZ, &window);
}

}  // namespace trivet::guest
