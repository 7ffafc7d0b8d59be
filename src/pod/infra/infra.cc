#include "pod/infra/infra.h"

#include <array>
#include <csignal>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"

namespace trivet::pod {

Result<std::unique_ptr<Infra>> Infra::create(UniqueFd socket) {
  EventLoop loop = TRY(EventLoop::create());
  std::unique_ptr<Infra> infra(new Infra(std::move(loop), std::move(socket)));
  TRY(infra->watch());
  return infra;
}

Result<> Infra::run() {
  return loop_.run();
}

Result<> Infra::watch() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD, SIGPIPE, SIGHUP}) sigaddset(&set, signal);
  if (sigprocmask(SIG_SETMASK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail_errno("signalfd");
  TRY(loop_.watch(signals_.get(), EPOLLIN, [this](uint32_t) { serve_signals(); }));
  return loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t events) { serve_socket(events); });
}

void Infra::serve_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGTERM || signal == SIGINT) loop_.stop();
    if (signal == SIGCHLD) reap();
  }
}

// Extensions, and orphans of a shared pid namespace.
void Infra::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    for (const auto& [name, extension] : extensions_) {
      if (extension->pid() == pid) {
        extension->note_end(exit_code_of(status));
        break;
      }
    }
  }
}

void Infra::serve_socket(uint32_t events) {
  Result<> served;
  if ((events & EPOLLOUT) != 0) served = write_some();
  if (served && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) served = read_some();
  if (!served) return loop_.stop();
  (void)loop_.change(socket_.get(), pending_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

Result<> Infra::read_some() {
  std::array<char, 16384> buffer{};
  const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return {};
    return fail_errno("receive");
  }
  if (count == 0) return fail(ErrorCode::kNetwork, "the supervisor has gone");
  TRY(input_.feed({buffer.data(), static_cast<size_t>(count)}));
  while (const auto line = TRY(input_.next())) obey(TRY(parse_infra_order(*line)));
  return {};
}

Result<> Infra::write_some() {
  const ssize_t count =
      ::send(socket_.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count >= 0) {
    pending_.erase(0, static_cast<size_t>(count));
  } else if (errno != EAGAIN && errno != EINTR) {
    return fail_errno("send");
  }
  return {};
}

void Infra::obey(const InfraOrder& order) {
  if (!order.launch.empty()) {
    if (const auto launched = launch(order); !launched) {
      report({.from = order.to, .request = {}, .ended = launched.error().message()});
    }
    return;
  }
  for (const auto& [name, extension] : extensions_) {
    if (order.to.empty() || order.to == name) extension->send(order.order);
  }
}

Result<> Infra::launch(const InfraOrder& order) {
  const std::string name = order.to;
  auto extension = std::make_unique<ExtensionProcess>(
      loop_,
      ExtensionProcess::Handlers{.request =
                                     [this, name](const ExtensionRequest& request) {
                                       report({.from = name, .request = request, .ended = ""});
                                     },
                                 .ended =
                                     [this, name](const std::string& message) {
                                       report({.from = name, .request = {}, .ended = message});
                                     }});
  TRY(extension->start(order.launch));
  ExtensionProcess& started = *extension;
  extensions_[name] = std::move(extension);
  started.send(order.order);
  return {};
}

// What an extension can cause is bounded: it waits for each answer.
void Infra::report(const InfraReport& report) {
  pending_ += print_infra_report(report) + "\n";
  (void)loop_.change(socket_.get(), EPOLLIN | EPOLLOUT);
}

}  // namespace trivet::pod
