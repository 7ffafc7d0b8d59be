#include "vmm/connection.h"

#include <sys/socket.h>
#include <unistd.h>

namespace trivet::vmm {

namespace {
constexpr size_t kReadSize = 2 * guest::kMaxData;
constexpr size_t kKeptCapacity = 1U << 20U;
}  // namespace

Result<> Connection::open(Handlers handlers) {
  handlers_ = std::move(handlers);
  interest_ = EPOLLIN;
  return loop_.watch(socket_.get(), interest_, [this](uint32_t events) { serve(events); });
}

void Connection::close() {
  if (!socket_) return;
  loop_.forget(socket_.get());
  socket_.reset();
  pending_.clear();
  begin_ = 0;
  interest_ = 0;
}

void Connection::send(guest::FrameType type, uint32_t session, std::string_view payload,
                      uint8_t container) {
  if (!socket_) return;
  const auto header = guest::print_header({.size = static_cast<uint32_t>(payload.size()),
                                           .session = session,
                                           .type = type,
                                           .container = container});
  const bool waiting = pending() != 0;
  pending_.append(header.data(), header.size());
  pending_.append(payload);
  if (!waiting) write_some();
  update_interest();
}

void Connection::send_frame(std::string_view frame) {
  if (!socket_) return;
  const bool waiting = pending() != 0;
  pending_.append(frame);
  if (!waiting) write_some();
  update_interest();
}

void Connection::hold(bool held) {
  held_ = held;
  if (socket_) update_interest();
}

void Connection::serve(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    const bool waited = pending() != 0;
    write_some();
    update_interest();
    if (waited && pending() == 0 && handlers_.on_drained) handlers_.on_drained();
  }
  if (socket_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_some();
}

void Connection::read_some() {
  char* space = reader_.space(kReadSize);
  const ssize_t count =
      recv(socket_.get(), space, std::min(reader_.space_size(), kReadSize), MSG_DONTWAIT);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return end(Error::from_errno(errno, "receive").with_code(ErrorCode::kNetwork));
  }
  if (count == 0) return end(Error(ErrorCode::kNetwork, "the connection was closed"));
  reader_.added(static_cast<size_t>(count));
  if (auto taken = take_frames(); !taken) end(taken.error());
}

Result<> Connection::take_frames() {
  while (socket_) {
    const auto frame = TRY(reader_.next());
    if (!frame) return {};
    TRY(handlers_.on_frame(*frame));
  }
  return {};
}

// Errors are left to the reader, which sees the same end.
void Connection::write_some() {
  while (pending() != 0) {
    const ssize_t count =
        ::send(socket_.get(), pending_.data() + begin_, pending(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      begin_ = pending_.size();
      break;
    }
    begin_ += static_cast<size_t>(count);
  }
  begin_ = 0;
  pending_.clear();
  if (pending_.capacity() > kKeptCapacity) pending_.shrink_to_fit();
}

// A descriptor that waits for nothing is not watched at all: its hang-up would be told again and
// again.
void Connection::update_interest() {
  const uint32_t wanted =
      (held_ ? 0U : uint32_t{EPOLLIN}) | (pending() != 0 ? uint32_t{EPOLLOUT} : 0U);
  if (wanted == interest_) return;
  if (wanted == 0) {
    loop_.forget(socket_.get());
  } else if (interest_ == 0) {
    (void)loop_.watch(socket_.get(), wanted, [this](uint32_t events) { serve(events); });
  } else {
    (void)loop_.change(socket_.get(), wanted);
  }
  interest_ = wanted;
}

void Connection::end(const Error& cause) {
  const auto on_end = handlers_.on_end;
  // close() may take away what the reference is to.
  const Error copy = cause;  // NOLINT(performance-unnecessary-copy-initialization)
  close();
  if (on_end) on_end(copy);
}

}  // namespace trivet::vmm
