#include "vmm/stdio.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "guest/protocol.h"

namespace trivet::vmm {

namespace {

// POSIX: a pipe that poll(2) calls writable takes this many bytes at once.
constexpr size_t kSurelyWritable = 4096;
// Reads of one turn of the loop, so that a file on stdin keeps nothing else waiting.
constexpr size_t kReadSize = guest::kMaxData;

bool may_wait(const struct stat& status, int fd) {
  return S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || isatty(fd) != 0;
}

bool is_ready(int fd, short event) {
  pollfd poll_fd{.fd = fd, .events = event, .revents = 0};
  return poll(&poll_fd, 1, 0) > 0;
}

ssize_t would_wait() {
  errno = EAGAIN;
  return -1;
}

}  // namespace

StdioFd::StdioFd(int fd, Access access) : fd_(fd) {
  struct stat status{};
  if (fstat(fd, &status) != 0 || !may_wait(status, fd)) return;
  if (S_ISSOCK(status.st_mode)) {
    kind_ = Kind::kSocket;
    return;
  }
  const int flags =
      (access == Access::kRead ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  own_ = UniqueFd(open(fmt::format("/proc/self/fd/{}", fd).c_str(), flags));
  kind_ = own_ ? Kind::kReopened : Kind::kCareful;
}

ssize_t StdioFd::read(char* data, size_t size) const {
  if (kind_ == Kind::kSocket) return recv(fd_, data, size, MSG_DONTWAIT);
  if (kind_ == Kind::kCareful && !is_ready(fd_, POLLIN)) return would_wait();
  return ::read(fd(), data, size);
}

ssize_t StdioFd::write(std::string_view data) const {
  if (kind_ == Kind::kSocket) {
    return send(fd_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  if (kind_ == Kind::kCareful) {
    if (!is_ready(fd_, POLLOUT)) return would_wait();
    data = data.substr(0, kSurelyWritable);
  }
  return ::write(fd(), data.data(), data.size());
}

void OutputStream::add(std::string_view data) {
  if (pending() == 0) data.remove_prefix(try_write(data));
  if (data.empty()) return;
  pending_.append(data);
  watch(true);
}

size_t OutputStream::try_write(std::string_view data) {
  size_t done = 0;
  while (done < data.size() && !broken_) {
    const ssize_t count = target_.write(data.substr(done));
    if (count >= 0) {
      done += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      broken_ = true;
    }
  }
  if (broken_) done = data.size();
  if (done != 0) on_taken_(done);
  return done;
}

void OutputStream::write_some() {
  begin_ += try_write(std::string_view(pending_).substr(begin_));
  if (pending() != 0) return;
  pending_.clear();
  begin_ = 0;
  watch(false);
}

void OutputStream::watch(bool wanted) {
  if (wanted == watched_) return;
  watched_ = wanted;
  if (!wanted) return loop_.forget(target_.fd());
  if (!loop_.watch(target_.fd(), EPOLLOUT, [this](uint32_t) { write_some(); })) {
    broken_ = true;  // what can't be waited for does not wait either
    write_some();
  }
}

void InputStream::start() {
  started_ = true;
  update();
}

void InputStream::stop() {
  started_ = false;
  update();
}

Result<> InputStream::credit(size_t bytes) {
  if (bytes > sent_) {
    return fail(ErrorCode::kCorrupt, "credit for {} bytes, of which {} were sent", bytes, sent_);
  }
  sent_ -= bytes;
  update();
  return {};
}

// A file is read as fast as there is room; everything else when epoll(7) says so.
void InputStream::update() {
  const bool wanted = started_ && !ended_ && sent_ < window_;
  if (!source_.is_pollable()) {
    while (started_ && !ended_ && sent_ < window_) read_some();
    return;
  }
  if (wanted == watched_) return;
  watched_ = wanted;
  if (!wanted) return loop_.forget(source_.fd());
  if (!loop_.watch(source_.fd(), EPOLLIN, [this](uint32_t) { read_some(); })) {
    watched_ = false;
    ended_ = true;
    handlers_.on_end();
  }
}

void InputStream::read_some() {
  std::array<char, kReadSize> data;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const size_t room = std::min(data.size(), window_ - sent_);
  const ssize_t count = source_.read(data.data(), room);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count > 0) {
    sent_ += static_cast<size_t>(count);
    handlers_.on_data({data.data(), static_cast<size_t>(count)});
    if (source_.is_pollable()) update();
    return;
  }
  // The end; of a terminal's life, too, which is an error of read(2).
  ended_ = true;
  if (source_.is_pollable()) update();
  handlers_.on_end();
}

}  // namespace trivet::vmm
