// The supervisor's process: what it hears, what it reports, how it ends.
#include "pod/supervisor.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "monitor/attach.h"
#include "monitor/log_file.h"
#include "monitor/memory.h"
#include "monitor/process.h"
#include "monitor/traces.h"
#include "pod/remove.h"

namespace trivet::pod {

namespace {

// What a container has said last, a note a line.
Error with_last_words(Error cause, const PodPaths& paths, const PodContainer& container) {
  constexpr uint64_t kLines = 10;
  (void)monitor::read_logs(
      paths.directories.container(container.id) + "/logs", {.tail = kLines},
      [&](const monitor::LogLine& line) {
        cause = std::move(cause).note(
            Error(ErrorCode::kSystem, fmt::format("{}: {}", container.name, line.text)));
      });
  return cause;
}

}  // namespace

Result<> Supervisor::run(SupervisorOptions options) {
  EventLoop loop = TRY(EventLoop::create());
  Supervisor supervisor(std::move(options), std::move(loop));
  auto started = supervisor.prepare();
  if (started) started = supervisor.start_pod();
  if (!started) started = std::unexpected(supervisor.give_up(std::move(started).error()));
  supervisor.report(started);
  if (!started) return started;
  return supervisor.serve();
}

Result<> Supervisor::prepare() {
  TRY(monitor::detach_from_caller());
  signals_ = TRY(monitor::take_signals());
  TRY(loop_.watch(signals_.get(), EPOLLIN, [this](uint32_t) { handle_signals(); }));
  if (sync_) {
    // Nothing is to be read from it: that its other end is closed is told without being asked for.
    TRY(loop_.watch(sync_.get(), 0, [this](uint32_t) {
      loop_.forget(sync_.get());
      fail(Error(ErrorCode::kCanceled, "whoever started the pod has gone"));
    }));
  }
  record_ = TRY(read_pod_record(paths_));
  status_.supervisor = TRY(identify_process(getpid()));
  status_.phase = PodPhase::kPreparing;
  for (const PodContainer& container : record_.containers) {
    status_.containers.push_back({.name = container.name});
  }
  ports_ = record_.ports;
  return listen();
}

Result<> Supervisor::listen() {
  TRY(make_dirs(paths_.state(), 0700));
  lock_ = TRY(monitor::take_lock(paths_.state()));
  listener_ = TRY(monitor::listen_for_clients(paths_.state()));
  TRY(loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_client(); }));
  return write_pod_status(paths_, status_);
}

bool Supervisor::owns(pid_t pid) const {
  if (pid == status_.pasta.pid || (infra_ && pid == infra_->init().pid)) return true;
  return std::ranges::any_of(members_, [pid](const Member& member) {
    const auto is_probe = [pid](const std::unique_ptr<ProbeLoop>& probe) {
      return probe && probe->child() == pid;
    };
    return (member.monitor && member.monitor->init() == pid) ||
           (member.hook && member.hook->child() == pid) || is_probe(member.startup) ||
           is_probe(member.liveness) || is_probe(member.readiness);
  });
}

void Supervisor::handle_signals() {
  if (monitor::read_signals(signals_.get())) {
    if (!committed_) {
      fail(Error(ErrorCode::kCanceled, "the pod's monitor was told to end"));
    } else {
      stop_pod(std::chrono::milliseconds(record_.grace_ms), "Stopped");
    }
  }
  monitor::reap_strays([this](pid_t pid) { return owns(pid); });
}

void Supervisor::accept_client() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return;
  const int number = fd.get();
  clients_.push_back(std::move(fd));
  (void)loop_.watch(number, EPOLLIN, [this, number](uint32_t) { handle_client(number); });
}

// A client waits for the end, or asks for it: monitor/attach.h, kStop.
void Supervisor::handle_client(int fd) {
  std::array<char, 256> buffer{};
  const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    loop_.forget(fd);
    clients_.remove_if([fd](const UniqueFd& client) { return client.get() == fd; });
    return;
  }
  const auto message = monitor::parse_frame({buffer.data(), static_cast<size_t>(count)});
  if (!message || message->type != monitor::Frame::kStop) return;
  const auto request = monitor::read_stop_request(message->payload);
  if (!request) return;
  if (!committed_) return fail(Error(ErrorCode::kCanceled, "the pod was stopped while it started"));
  const int64_t grace = request->grace_ms >= 0 ? request->grace_ms : record_.grace_ms;
  stop_pod(std::chrono::milliseconds(grace), "Stopped");
}

// Everything goes; the error gets the last words of the containers that have said something.
Error Supervisor::give_up(Error cause) {
  for (const Member& member : members_) {
    if (member.monitor && member.monitor->status().started) {
      cause = with_last_words(std::move(cause), paths_, *member.plan);
    }
  }
  unmount_all();
  abandon_children();
  pasta_.reset();
  if (auto removed = remove_pod(paths_, journal_); !removed) {
    cause = std::move(cause).note(removed.error());
  }
  return cause;
}

// What follows waits for the containers' ends, not for the loop. The init of a pid namespace does
// not end before its last process has been reaped, and commands of probes are ours to reap: from
// here on the kernel does it.
void Supervisor::abandon_children() {
  for (Member& member : members_) {
    stop_watching(member);
    member.hook.reset();
  }
  (void)::signal(SIGCHLD, SIG_IGN);
  while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
}

void Supervisor::report(const Result<>& started) {
  if (!sync_) return;
  loop_.forget(sync_.get());
  const std::string line = started ? monitor::print_started(status_.infra.pid)
                                   : monitor::print_start_failure(started.error());
  (void)!::write(sync_.get(), line.data(), line.size());
  sync_.reset();
}

Result<> Supervisor::serve() {
  if (record_.deadline_ms) {
    loop_.set_timer(Timer::kDeadline, std::chrono::milliseconds(*record_.deadline_ms), [this] {
      stop_pod(std::chrono::milliseconds(record_.grace_ms), "DeadlineExceeded");
    });
  }
  // Some may have ended before anybody listened, or all of them.
  stop_next();
  Result<> served;
  while (served && !over_) served = loop_.turn();
  finish();
  return served;
}

int Supervisor::exit_code() const {
  for (const Member& member : members_) {
    const int code = member.monitor->status().exit_code;
    if (member.plan->role == Role::kMain && code != 0) return code;
  }
  return 0;
}

// A machine that is lost takes its members along, who may be heard of first.
void Supervisor::note_lost_machine(int exit_code) {
  constexpr int kKilled = 137;
  constexpr std::chrono::milliseconds kPatience{500};
  if (!machine_ || !status_.reason.empty() || exit_code != kKilled) return;
  if (wait_pidfd(infra_->init_pidfd(), kPatience).value_or(false)) infra_ended();
}

void Supervisor::finish() {
  // Of several that ended at once only the first has left.
  for (const Member& member : members_) member.monitor->leave();
  const int code = exit_code();
  note_lost_machine(code);
  end_shell();
  status_.phase = code == 0 && status_.reason != "DeadlineExceeded" && status_.message.empty()
                      ? PodPhase::kSucceeded
                      : PodPhase::kFailed;
  status_.finished = std::chrono::system_clock::now();
  status_.supervisor = status_.infra = status_.pasta = {};
  save_status();
  (void)journal_.note(Step::kEnded);
  (void)remove_tree(AT_FDCWD, paths_.state());
  const std::string frame = monitor::make_frame(monitor::Frame::kExit, code);
  for (const UniqueFd& client : clients_) (void)monitor::send_frame(client.get(), frame);
}

void Supervisor::save_status() {
  for (size_t i = 0; const Member& member : members_) {
    status_.containers.at(i++) = {.name = member.plan->name,
                                  .started = member.started,
                                  .ready = member.ready,
                                  .message = member.message};
  }
  // A full disk: there is nobody to tell but whoever asks later.
  (void)write_pod_status(paths_, status_);
}

}  // namespace trivet::pod
