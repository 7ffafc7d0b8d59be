#include "base/process.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/spawn.h"
#include "base/text.h"
#include "base/user_root.h"

namespace trivet {

namespace {

using Clock = std::chrono::steady_clock;

struct Stat {
  char state = '?';
  uint64_t start_ticks = 0;
};

// The fields after the command name, which may itself contain blanks and parentheses.
Result<Stat> read_stat(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  auto text = read_file(path, 8192);
  if (!text) return fail(ErrorCode::kNotFound, "no process {}", pid);
  const size_t close = text->rfind(')');
  if (close == std::string::npos || close + 2 >= text->size()) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is malformed", path);
  }
  Stat stat{.state = (*text)[close + 2]};
  std::string_view rest = std::string_view(*text).substr(close + 2);
  constexpr int kFieldsBefore = 19;  // state is field 3, the start time field 22
  for (int i = 0; i < kFieldsBefore; ++i) rest.remove_prefix(rest.find(' ') + 1);
  std::from_chars(rest.data(), rest.data() + rest.size(), stat.start_ticks);
  return stat;
}

// Moves what is readable from `fd` to `sink`; closes it at the end of the stream.
void drain(UniqueFd& fd, std::string& sink) {
  std::array<char, 16384> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
  if (count > 0) {
    sink.append(buffer.data(), static_cast<size_t>(count));
  } else if (count == 0 || errno != EINTR) {
    fd.reset();
  }
}

// Feeds stdin and collects stdout and stderr until both end. False when the deadline passed.
bool pump(UniqueFd in, UniqueFd out, UniqueFd err, std::string_view input,
          Clock::time_point deadline, Output& output) {
  if (input.empty()) in.reset();
  while (out || err) {
    std::array<pollfd, 3> fds{pollfd{.fd = out.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = err.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = in.get(), .events = POLLOUT, .revents = 0}};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    if (::poll(fds.data(), fds.size(), static_cast<int>(std::min<int64_t>(left, 1 << 30))) < 0) {
      continue;
    }
    if (fds[0].revents != 0) drain(out, output.stdout_text);
    if (fds[1].revents != 0) drain(err, output.stderr_text);
    if (fds[2].revents != 0) {
      const ssize_t count = ::write(in.get(), input.data(), input.size());
      if (count > 0) input.remove_prefix(static_cast<size_t>(count));
      if (input.empty() || (count < 0 && errno != EINTR && errno != EAGAIN)) in.reset();
    }
  }
  return true;
}

}  // namespace

Result<ProcessId> identify_process(pid_t pid) {
  const Stat stat = TRY(read_stat(pid));
  return ProcessId{.pid = pid, .start_ticks = stat.start_ticks};
}

bool is_alive(const ProcessId& process) {
  if (process.pid <= 0) return false;
  const auto stat = read_stat(process.pid);
  return stat && stat->start_ticks == process.start_ticks && stat->state != 'Z' &&
         stat->state != 'X';
}

namespace {

// The words of /proc/self/uid_map. Asked once: this process changes its own user namespace before
// anything of it matters (enter_user_namespace()), or never.
const std::vector<std::string>& own_uid_map() {
  static const std::vector<std::string> kWords = [] {
    std::string text = read_file("/proc/self/uid_map").value_or("");
    std::ranges::replace(text, '\n', ' ');
    std::vector<std::string> words = split(text, ' ');
    std::erase(words, "");
    return words;
  }();
  return kWords;
}

}  // namespace

bool in_user_namespace() {
  const auto& words = own_uid_map();
  return !words.empty() && words != std::vector<std::string>{"0", "0", "4294967295"};
}

bool has_one_id() {
  const auto& words = own_uid_map();
  return words.size() == 3 && words.back() == "1";
}

Result<UniqueFd> open_pidfd(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0 && errno == ESRCH) return fail(ErrorCode::kNotFound, "no process {}", pid);
  if (fd < 0) return fail_errno("pidfd_open {}", pid);
  return UniqueFd(fd);
}

Result<UniqueFd> open_pidfd(const ProcessId& process) {
  UniqueFd fd = TRY(open_pidfd(process.pid));
  if (!is_alive(process)) return fail(ErrorCode::kNotFound, "no process {}", process.pid);
  return fd;
}

Result<> send_signal(int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return {};
  if (errno == ESRCH) return fail(ErrorCode::kNotFound, "send signal {}: no such process", signal);
  return fail_errno("send signal {}", signal);
}

Result<bool> wait_pidfd(int pidfd, std::optional<std::chrono::milliseconds> timeout) {
  const auto deadline = Clock::now() + timeout.value_or(std::chrono::milliseconds(0));
  for (;;) {
    int left = -1;
    if (timeout) {
      left = static_cast<int>(std::max<int64_t>(
          0, std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count()));
    }
    pollfd poll_fd{.fd = pidfd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, left);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return fail_errno("poll a pidfd");
  }
}

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

Result<int> reap_child(int pidfd) {
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0) {
    if (errno != EINTR) return fail_errno("waitid");
  }
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

Result<Output> run_program(const std::vector<std::string>& argv, const ProgramOptions& options) {
  if (argv.empty()) return fail(ErrorCode::kInvalidArgument, "run a program: no command given");
  Pipe in = TRY(make_pipe());
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  const pid_t pid = TRY(spawn_program(
      argv, options.environment,
      {.in = in.read_end.get(), .out = out.write_end.get(), .err = err.write_end.get()}));
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  Output output;
  const auto deadline = Clock::now() + options.timeout;
  const bool finished = pump(std::move(in.write_end), std::move(out.read_end),
                             std::move(err.read_end), options.stdin_text, deadline, output);
  if (!finished) ::kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno("wait for \"{}\"", argv[0]);
  }
  if (!finished) {
    return fail(ErrorCode::kTimeout, "run \"{}\": not done after {} ms", argv[0],
                options.timeout.count());
  }
  output.exit_code = exit_code_of(status);
  return output;
}

Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{.read_end = UniqueFd(fds[0]), .write_end = UniqueFd(fds[1])};
}

Result<pid_t> spawn_in_session(const std::string& program, const std::vector<std::string>& argv,
                               const std::vector<InheritedFd>& inherited) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  int first_closed = STDERR_FILENO + 1;
  for (const auto& [fd, number] : inherited) {
    posix_spawn_file_actions_adddup2(&actions, fd, number);
    first_closed = std::max(first_closed, number + 1);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, first_closed);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t set;
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes, &set);
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attributes, &set);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  std::vector<char*> pointers;
  for (const std::string& arg : argv) pointers.push_back(const_cast<char*>(arg.c_str()));
  pointers.push_back(nullptr);
  pid_t pid = -1;
  const int failure =
      posix_spawn(&pid, program.c_str(), &actions, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) {
    return std::unexpected(Error::from_errno(failure, fmt::format("run \"{}\"", program)));
  }
  return pid;
}

}  // namespace trivet
