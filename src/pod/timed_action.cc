#include "pod/timed_action.h"

#include <array>
#include <csignal>
#include <memory>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "base/process.h"
#include "pod/dial.h"

namespace trivet::pod {

void end_child(EventLoop& loop, container::Started child) {
  // The engine makes it the leader of a process group. It is not reaped yet, so its number is
  // nobody else's.
  (void)::kill(-child.pid, SIGKILL);
  (void)send_signal(child.pidfd.get(), SIGKILL);
  const auto owned = std::make_shared<UniqueFd>(std::move(child.pidfd));
  const auto reap = [&loop, owned](uint32_t) {
    siginfo_t info{};
    (void)waitid(P_PIDFD, static_cast<id_t>(owned->get()), &info, WEXITED | WNOHANG);
    loop.forget(owned->get());
  };
  if (!loop.watch(owned->get(), EPOLLIN, reap)) (void)reap_child(owned->get());
}

TimedAction::TimedAction(EventLoop& loop, std::chrono::milliseconds timeout, Done done)
    : loop_(loop), timeout_(timeout), done_(std::move(done)) {
  loop_.set_timer(Timer::kDeadline, timeout, [this] { finish(expire()); }, this);
}

TimedAction::~TimedAction() {
  loop_.clear_timer(Timer::kDeadline, this);
}

void TimedAction::finish(Result<> outcome) {
  loop_.clear_timer(Timer::kDeadline, this);
  release();
  const Done done = std::move(done_);
  done(std::move(outcome));
}

Result<> TimedAction::expire() {
  return fail(ErrorCode::kTimeout, "not done within {} ms", timeout_.count());
}

SocketAction::SocketAction(const Action& action, EventLoop& loop, std::chrono::milliseconds timeout,
                           Done done)
    : TimedAction(loop, timeout, std::move(done)),
      host_(action.host.empty() ? "127.0.0.1" : action.host),
      port_(action.port) {}

SocketAction::~SocketAction() {
  SocketAction::release();
}

void SocketAction::release() {
  if (socket_) loop().forget(socket_.get());
  socket_.reset();
}

std::string SocketAction::authority() const {
  return host_.contains(':') ? fmt::format("[{}]:{}", host_, port_)
                             : fmt::format("{}:{}", host_, port_);
}

Result<> SocketAction::open(const ActionTarget& target) {
  auto socket = target.connect ? target.connect(host_, port_)
                               : begin_connection(target.network_namespace, host_, port_);
  socket_ = TRY(std::move(socket));
  return watch();
}

Result<UniqueFd> SocketAction::change_socket(UniqueFd socket) {
  loop().forget(socket_.get());
  UniqueFd old = std::exchange(socket_, std::move(socket));
  TRY(watch());
  return old;
}

Result<> SocketAction::watch() {
  return loop().watch(socket_.get(), EPOLLOUT, [this](uint32_t events) { serve(events); });
}

Result<> SocketAction::expire() {
  return fail(ErrorCode::kTimeout, "no {} within {} ms", connected_ ? "answer" : "connection",
              timeout().count());
}

void SocketAction::serve(uint32_t events) {
  Outcome outcome = advance(events);
  if (!outcome) {
    const uint32_t wanted = output_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
    const Result<> changed = loop().change(socket_.get(), wanted);
    if (changed) return;
    outcome = changed;
  }
  finish(std::move(*outcome));
}

SocketAction::Outcome SocketAction::advance(uint32_t events) {
  if (!connected_) {
    Result<> connection = finish_connection(socket_.get());
    if (!connection) return connection;
    connected_ = true;
    if (Outcome outcome = on_connected()) return outcome;
  } else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    if (Outcome outcome = read_some()) return outcome;
  }
  return write_some();
}

SocketAction::Outcome SocketAction::read_some() {
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(socket_.get(), buffer.data(), buffer.size());
  if (count > 0) return on_bytes({buffer.data(), static_cast<size_t>(count)});
  if (count == 0) return on_end();
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  return Result<>(fail_errno("read the answer"));
}

SocketAction::Outcome SocketAction::write_some() {
  if (output_.empty()) return std::nullopt;
  const ssize_t count = ::send(socket_.get(), output_.data(), output_.size(), MSG_NOSIGNAL);
  if (count >= 0) {
    output_.erase(0, static_cast<size_t>(count));
    return std::nullopt;
  }
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  return Result<>(fail_errno("send the request"));
}

}  // namespace trivet::pod
