#include "container/criu.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd_passing.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/socket_pair.h"
#include "base/text.h"

namespace trivet::criu {

namespace {

constexpr size_t kLongestMessage = 64 << 10;

Result<std::string> find_criu() {
  const char* path = getenv("PATH");
  const std::string directories =
      path != nullptr ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& directory : split(directories, ':')) {
    std::string candidate = directory + "/criu";
    if (!directory.empty() && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::unexpected(
      Error(ErrorCode::kCommandNotFound, "the program criu is not in PATH")
          .hint("checkpoints are made by CRIU: install Debian's package criu, 4.1 or newer"));
}

struct ChildFailure {
  const char* call;
  int error;
};

// Everything that the child needs, so that it only makes system calls.
struct ChildPlan {
  const Surroundings* surroundings;
  int namespaces;
  std::array<char*, 4> argv;
  const char* program;
  pid_t parent;
};

// Returns only when something fails: which call.
const char* become_criu(const ChildPlan& plan) {
  const Surroundings& surroundings = *plan.surroundings;
  // criu must not go on when nobody is left to take what it restores.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return "prctl";
  if (getppid() != plan.parent) _exit(1);
  for (const int fd : surroundings.cgroup_fds) {
    if (write(fd, "0", 1) != 1) return "join the cgroup";
  }
  if (plan.namespaces != 0 && unshare(plan.namespaces) != 0) return "unshare";
  if (!surroundings.bind_target.empty()) {
    if (mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) return "make mounts slaves";
    if (mount(surroundings.bind_source.c_str(), surroundings.bind_target.c_str(), nullptr,
              MS_BIND | MS_REC, nullptr) != 0) {
      return "bind the root";
    }
  }
  for (const int fd : surroundings.keep) {
    if (fcntl(fd, F_SETFD, 0) != 0) return "fcntl";
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv(plan.program, plan.argv.data());
  return "execute";
}

// The words of a failure come through `failure`, which closes at exec.
[[noreturn]] void child(const ChildPlan& plan, int failure) {
  const ChildFailure words{.call = become_criu(plan), .error = errno};
  (void)write(failure, &words, sizeof words);
  _exit(127);
}

Result<UniqueFd> start(const std::string& program, const Surroundings& surroundings, int socket) {
  Surroundings all = surroundings;
  all.keep.push_back(socket);
  std::string number = fmt::format("{}", socket);
  std::string name = "criu";
  std::string mode = "swrk";
  ChildPlan plan{.surroundings = &all,
                 .namespaces = (surroundings.new_cgroup_namespace ? CLONE_NEWCGROUP : 0) |
                               (surroundings.bind_target.empty() ? 0 : CLONE_NEWNS),
                 .argv = {name.data(), mode.data(), number.data(), nullptr},
                 .program = program.c_str(),
                 .parent = getpid()};
  Pipe failure = TRY(make_pipe());
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork for \"{}\"", program);
  if (pid == 0) child(plan, failure.write_end.get());
  failure.write_end.reset();
  UniqueFd pidfd = TRY(open_pidfd(pid));
  ChildFailure words{};
  if (read(failure.read_end.get(), &words, sizeof words) != sizeof words) return pidfd;
  (void)reap_child(pidfd.get());
  return std::unexpected(
      Error::from_errno(words.error, fmt::format("start \"{}\": {}", program, words.call)));
}

Result<> send_bytes(int socket, const std::string& bytes) {
  if (send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) return fail_errno("send to criu");
  return {};
}

// The next message, with the descriptor that came along.
Result<Answer> receive(int socket, UniqueFd& received) {
  std::string buffer(kLongestMessage, '\0');
  const size_t size =
      TRY_IN(receive_with_fd(socket, buffer.data(), buffer.size(), &received), "criu");
  if (size == 0) return fail(ErrorCode::kSystem, "criu ended without an answer");
  return parse_answer(std::string_view(buffer).substr(0, size));
}

Result<Answer> converse(int socket, const std::string& request, const OnNotify& on_notify) {
  TRY(send_bytes(socket, request));
  std::optional<Error> cause;  // of ours, for which criu has given up
  for (;;) {
    UniqueFd received;
    auto answer = receive(socket, received);
    if (!answer && cause) return std::unexpected(std::move(*cause));
    if (!answer) return answer;
    if (answer->type != RequestType::kNotify) {
      if (!answer->success && cause) return std::unexpected(std::move(*cause));
      return answer;
    }
    auto done = on_notify(*answer, std::move(received));
    if (!done && !cause) cause = std::move(done).error();
    TRY(send_bytes(socket, encode_notify_answer(!cause)));
  }
}

const char* verb(RequestType type) {
  return type == RequestType::kRestore ? "restore" : "dump";
}

Error refused(RequestType type, const Answer& answer, const std::string& log) {
  std::string text = fmt::format("criu could not {} it", verb(type));
  const std::string errors = errors_of_log(read_file(log).value_or(""));
  const std::string_view why = errors.empty() ? trim(answer.error_text) : std::string_view(errors);
  if (!why.empty()) text += fmt::format(": {}", why);
  Error error = answer.error_number != 0 ? Error::from_errno(answer.error_number, text)
                                         : Error(ErrorCode::kSystem, text);
  return std::move(error).hint(fmt::format("criu's log is \"{}\"", log));
}

}  // namespace

Result<Answer> run(RequestType type, const Options& options, const Surroundings& surroundings,
                   const std::string& log_directory, const OnNotify& on_notify) {
  const std::string program = TRY(find_criu());
  SocketPair sockets = TRY(make_socket_pair(SocketKind::kMessages));
  const UniqueFd pidfd = TRY(start(program, surroundings, sockets.theirs.get()));
  sockets.theirs.reset();
  auto answer = converse(sockets.ours.get(), encode_request(type, options), on_notify);
  // After a pre-dump it would wait for the next request.
  sockets.ours.reset();
  (void)reap_child(pidfd.get());
  if (!answer) return answer;
  if (!answer->success) {
    return std::unexpected(refused(type, *answer, log_directory + "/" + options.log_file));
  }
  return answer;
}

std::string errors_of_log(std::string_view log) {
  constexpr size_t kShown = 3;
  // It tries, and goes on when it may not (CAP_SYS_RESOURCE).
  constexpr const char* kHarmless = "Can't setup RLIMIT_NOFILE for self";
  std::vector<std::string> found;
  for (const std::string& line : split(log, '\n')) {
    // "(00.012345) 42: Error (criu/mount.c:680): mnt: …"
    const size_t mark = line.find("Error (");
    if (mark == std::string::npos || line.find(kHarmless) != std::string::npos) continue;
    const size_t words = line.find("): ", mark);
    found.push_back(words == std::string::npos ? line.substr(mark) : line.substr(words + 3));
  }
  if (found.size() > kShown) found.resize(kShown);
  return join(found, "; ");
}

}  // namespace trivet::criu
