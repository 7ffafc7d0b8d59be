#include "cli/interrupt.h"

#include <csignal>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace trivet::cli {

namespace {

constexpr int kPollMilliseconds = 100;

void watch(const std::stop_token& done, const UniqueFd& signals, const std::stop_source& source) {
  while (!done.stop_requested()) {
    pollfd ready{.fd = signals.get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, kPollMilliseconds) <= 0) continue;
    signalfd_siginfo info{};
    if (read(signals.get(), &info, sizeof info) != sizeof info) continue;
    // The work does not stop: the person means it.
    if (source.stop_requested()) _exit(128 + static_cast<int>(info.ssi_signo));
    source.request_stop();
  }
}

}  // namespace

Result<StopOnInterrupt> StopOnInterrupt::install() {
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  UniqueFd signals(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno("signalfd");
  pthread_sigmask(SIG_BLOCK, &wanted, &before);
  return StopOnInterrupt(std::move(signals), before);
}

StopOnInterrupt::StopOnInterrupt(UniqueFd signals, sigset_t before)
    : before_(before),
      watcher_([signals = std::move(signals), source = source_](const std::stop_token& done) {
        watch(done, signals, source);
      }) {}

StopOnInterrupt::~StopOnInterrupt() {
  if (!watcher_.joinable()) return;  // moved from
  watcher_.request_stop();
  watcher_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace trivet::cli
