#include "monitor/monitor.h"

#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "monitor/attach.h"
#include "monitor/memory.h"
#include "monitor/traces.h"

namespace trivet::monitor {

namespace {

// The caller's session, terminal, directory and streams are none of ours any more.
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

}  // namespace

Result<> Monitor::run(MonitorOptions options) {
  EventLoop loop = TRY(EventLoop::create());
  Monitor monitor(std::move(options), std::move(loop));
  if (auto prepared = monitor.prepare(); !prepared) {
    monitor.tell_start(prepared);
    return prepared;
  }
  auto started = monitor.start();
  if (!started) {
    monitor.status_.phase = Phase::kExited;
    monitor.status_.error = started.error().message();
    monitor.status_.exit_code = exit_code_for(started.error());
    monitor.status_.finished = std::chrono::system_clock::now();
    monitor.leave();
    monitor.tell_start(started);
    return started;
  }
  monitor.tell_start(started);
  monitor.release_payload();
  auto served = monitor.serve();
  monitor.leave();
  return served;
}

Result<> Monitor::prepare() {
  TRY(detach_from_caller());
  const std::string runtime = options_.directories.runtime(options_.id);
  TRY(make_dirs(runtime, 0700));
  lock_ = TRY(take_lock(runtime));
  record_ = TRY(read_record(options_.directories, options_.id));
  TRY(clear_leftovers());
  status_.monitor = TRY(identify_process(getpid()));
  log_ =
      TRY(LogWriter::open(options_.directories.container(options_.id) + "/logs",
                          {.max_size = record_.log_max_size, .max_files = record_.log_max_files}));
  listener_ = TRY(listen_for_clients(runtime));
  TRY(loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_clients(); }));
  TRY(watch_signals());
  if (!options_.attach) return {};
  TRY(add_client(std::move(options_.attach), Client::Kind::kForeground));
  // The size of the terminal is waiting there: the program shall find it.
  (void)read_client(clients_.front());
  return {};
}

// What a monitor that was killed has left. Its container may still run: nobody can take that over.
Result<> Monitor::clear_leftovers() const {
  const Status old = TRY(read_status(options_.directories, options_.id));
  if (old.monitor.pid == 0) return {};
  if (is_alive(old.init)) {
    return std::unexpected(
        Error(ErrorCode::kWrongState, "the container still runs, but its monitor was killed")
            .hint("`trivet rm -f` removes it"));
  }
  TRY(net::stop_pasta(old.pasta));
  return container::Container::force_remove(options_.directories.engine(), options_.id);
}

Result<> Monitor::watch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE}) sigaddset(&set, signal);
  if (sigprocmask(SIG_SETMASK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail_errno("signalfd");
  return loop_.watch(signals_.get(), EPOLLIN, [this](uint32_t) { handle_signals(signals_.get()); });
}

void Monitor::handle_signals(int fd) {
  signalfd_siginfo info{};
  while (::read(fd, &info, sizeof info) == sizeof info) {
    const auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGTERM || signal == SIGINT) (void)request_stop(0, std::nullopt);
    if (signal == SIGCHLD) reap_strays();
  }
}

// Children other than the init: pasta processes that ended, and, in a container with the host's
// processes, orphans that came to us as the subreaper.
void Monitor::reap_strays() {
  const pid_t init = life_ && life_->container ? life_->container->init().pid : 0;
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    // It is reaped through its pidfd; those behind it have their turn after that.
    if (info.si_pid == init) return;
    (void)waitpid(info.si_pid, nullptr, WNOHANG);
  }
}

void Monitor::tell_start(const Result<>& started) {
  if (!options_.sync) return;
  const std::string line =
      started ? print_started(status_.init.pid) : print_start_failure(started.error());
  // Nobody may be there to read it any more: the container runs all the same.
  (void)!::write(options_.sync.get(), line.data(), line.size());
  options_.sync.reset();
}

Result<> Monitor::serve() {
  if (record_.timeout_ms) {
    loop_.set_timer(Timer::kTimeout, std::chrono::milliseconds(*record_.timeout_ms), [this] {
      timed_out_ = true;
      (void)request_stop(0, std::nullopt);
    });
  }
  return loop_.run();
}

void Monitor::save_status() {
  auto saved = write_status(options_.directories, options_.id, status_);
  // A full disk: there is nobody to tell but whoever asks later.
  if (!saved && status_.error.empty()) status_.error = saved.error().message();
}

void Monitor::leave() {
  status_.monitor = {};
  bool removed = false;
  if (record_.remove) {
    // As it is now: it may have been renamed.
    const auto record = read_record(options_.directories, options_.id);
    const auto done = remove_traces(options_.directories, record.value_or(record_));
    removed = done.has_value();
    if (!done) status_.error = done.error().message();
  }
  if (!removed) {
    save_status();
    (void)::unlink((options_.directories.runtime(options_.id) + "/attach.sock").c_str());
  }
  // From here on another monitor may start the container again.
  lock_.reset();
  say_goodbye(make_frame(Frame::kExit, status_.exit_code));
  for (const ProcessId& pasta : strays_) (void)net::stop_pasta(pasta);
}

}  // namespace trivet::monitor
