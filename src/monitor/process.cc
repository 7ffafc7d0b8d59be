#include "monitor/process.h"

#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "linux/network_namespace.h"
#include "monitor/attach.h"

namespace trivet::monitor {

Result<> detach_from_caller() {
  (void)setsid();  // EPERM: a session leader already
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno("prctl PR_SET_CHILD_SUBREAPER");
  if (chdir("/") != 0) return fail_errno("chdir \"/\"");
  umask(022);
  const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (dup2(null.get(), fd) < 0) return fail_errno("dup2");
  }
  return {};
}

Result<UniqueFd> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE}) sigaddset(&set, signal);
  if (sigprocmask(SIG_SETMASK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  return fd;
}

bool read_signals(int fd) {
  bool end = false;
  signalfd_siginfo info{};
  while (::read(fd, &info, sizeof info) == sizeof info) {
    const auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGTERM || signal == SIGINT) end = true;
  }
  return end;
}

void reap_strays(const std::function<bool(pid_t)>& is_owned) {
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    if (is_owned(info.si_pid)) return;
    (void)waitpid(info.si_pid, nullptr, WNOHANG);
  }
}

namespace {

void tell_start(UniqueFd sync, const Result<>& started, pid_t init) {
  if (!sync) return;
  const std::string line = started ? print_started(init) : print_start_failure(started.error());
  // Nobody may be there to read it any more: the container runs all the same.
  (void)!::write(sync.get(), line.data(), line.size());
}

// Children other than the init: pasta processes that ended, and, in a container with the host's
// processes, orphans that came to us as the subreaper.
void reap_others(const Monitor& monitor) {
  reap_strays([&](pid_t pid) { return pid == monitor.init(); });
}

Result<> start(Monitor& monitor, bool hold) {
  TRY(monitor.create());
  return hold ? monitor.hold() : monitor.start();
}

Result<> run_monitor(MonitorOptions options, UniqueFd sync) {
  EventLoop loop = TRY(EventLoop::create());
  options.on_ended = [&loop] { loop.stop(); };
  const bool hold = options.hold;
  Monitor monitor(std::move(options), loop);
  UniqueFd signals;
  const auto prepare = [&]() -> Result<> {
    TRY(detach_from_caller());
    signals = TRY(take_signals());
    TRY(loop.watch(signals.get(), EPOLLIN, [&](uint32_t) {
      if (read_signals(signals.get())) (void)monitor.request_stop(0, std::nullopt);
      reap_others(monitor);
    }));
    auto r = monitor.prepare();
    return r;
  };
  if (auto prepared = prepare(); !prepared) {
    tell_start(std::move(sync), prepared, 0);
    return prepared;
  }
  if (auto started = start(monitor, hold); !started) {
    monitor.leave();
    tell_start(std::move(sync), started, 0);
    return started;
  }
  tell_start(std::move(sync), {}, monitor.status().init.pid);
  auto served = loop.run();
  monitor.leave();
  return served;
}

}  // namespace

Result<> live(Arguments arguments) {
  MonitorOptions options{.directories = std::move(arguments.directories),
                         .id = std::move(arguments.id),
                         .attach = std::move(arguments.given),
                         .hold = arguments.hold};
  // While we wait. When it fails, so will the clone that then has to make one, and say why.
  if (arguments.own_network) options.network = make_network_namespace().value_or(UniqueFd());
  if (!is_told_to_go(std::move(arguments.go))) return {};
  return run_monitor(std::move(options), std::move(arguments.sync));
}

}  // namespace trivet::monitor
