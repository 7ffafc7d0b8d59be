#include "container/launch.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/stage_program.h"
#include <linux/sched.h>

namespace trivet::container {

namespace {

#ifndef MFD_EXEC
constexpr unsigned MFD_EXEC = 0x10;  // NOLINT(readability-identifier-naming): since 6.3
#endif

// A descriptor with `content` that nobody can change any more.
Result<UniqueFd> sealed_memfd(const char* name, std::string_view content, unsigned flags) {
  int raw = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
  // Kernels before 6.3 don't know MFD_EXEC and make every memfd executable.
  if (raw < 0 && errno == EINVAL && flags != 0)
    raw = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (raw < 0) return fail_errno("memfd_create \"{}\"", name);
  UniqueFd fd(raw);
  TRY(write_all(fd.get(), content, name));
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return fail_errno("seal \"{}\"", name);
  }
  return fd;
}

// Children of this thread are born in another pid namespace while this object lives.
class PidNamespaceForChildren {
 public:
  static Result<PidNamespaceForChildren> enter(int namespace_fd) {
    PidNamespaceForChildren entered;
    if (namespace_fd < 0) return entered;
    entered.original_ = TRY(open_file("/proc/thread-self/ns/pid_for_children", O_RDONLY));
    if (setns(namespace_fd, CLONE_NEWPID) != 0) return fail_errno("join the pid namespace");
    return entered;
  }
  PidNamespaceForChildren(PidNamespaceForChildren&&) = default;
  PidNamespaceForChildren(const PidNamespaceForChildren&) = delete;
  PidNamespaceForChildren& operator=(const PidNamespaceForChildren&) = delete;
  PidNamespaceForChildren& operator=(PidNamespaceForChildren&&) = delete;
  ~PidNamespaceForChildren() {
    if (original_) (void)setns(original_.get(), CLONE_NEWPID);
  }

 private:
  PidNamespaceForChildren() = default;
  UniqueFd original_;
};

[[noreturn]] void report_and_leave(int sync_fd, stage::Step step, int error) {
  const stage::Message message{.kind = stage::MessageKind::kError,
                               .step = step,
                               .error = error,
                               .operand = 0,
                               .call = stage::Call::kNone};
  (void)!::write(sync_fd, &message, sizeof message);
  _exit(127);
}

// execve(2) computes the capabilities anew from the user: a child that is nobody in its user
// namespace, for want of a map or by its uid, would lose them all.
void become_root_of_namespace(const SyncPair& conversation, const std::string& directory) {
  close(conversation.parent.get());  // or the end of the parent would not be seen
  stage::Message message{};
  ssize_t count = 0;
  do {
    count = ::read(conversation.child.get(), &message, sizeof message);
  } while (count < 0 && errno == EINTR);
  if (count != sizeof message || message.kind != stage::MessageKind::kGo) _exit(127);
  // With the caller's ids still: root of the namespace may not be able to come there. But not
  // before there are maps: until then, what belongs to the container's users is closed to this
  // process.
  if (chdir(directory.c_str()) != 0) {
    report_and_leave(conversation.child.get(), stage::Step::kMountRoot, errno);
  }
  // The system calls themselves: the library's functions would look for further threads.
  if (syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0) {
    report_and_leave(conversation.child.get(), stage::Step::kBecomeRoot, errno);
  }
}

// In the child: only system calls, on memory that the parent prepared.
[[noreturn]] void become_stage(int program_fd, const std::vector<int>& inherit,
                               const LaunchOptions& options, char* const* argv, char* const* envp) {
  for (const int fd : inherit) {
    if (fd >= 0) fcntl(fd, F_SETFD, 0);
  }
  if (options.id_maps != nullptr) become_root_of_namespace(*options.id_maps, options.directory);
  sigset_t blocked;
  sigemptyset(&blocked);
  if (options.block_signals) sigfillset(&blocked);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
  syscall(SYS_execveat, program_fd, "", argv, envp, AT_EMPTY_PATH);
  _exit(127);
}

// Ignored signals stay ignored across exec, so the container would inherit them.
void reset_ignored_signals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action{};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) {
      action.sa_handler = SIG_DFL;
      sigaction(signal, &action, nullptr);
    }
  }
}

Result<> send(int sync_fd, stage::MessageKind kind) {
  const stage::Message message{.kind = kind};
  if (::send(sync_fd, &message, sizeof message, MSG_NOSIGNAL) != sizeof message) {
    return fail_errno("write to the container's init");
  }
  return {};
}

}  // namespace

Result<SyncPair> make_sync_pair() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail_errno("socketpair");
  }
  return SyncPair{.parent = UniqueFd(fds[0]), .child = UniqueFd(fds[1])};
}

Result<StageProcess> launch_stage(const std::string& blob, const std::vector<int>& inherit,
                                  const LaunchOptions& options) {
  const UniqueFd program = TRY(sealed_memfd("trivet-stage", stage_program(), MFD_EXEC));
  const UniqueFd plan = TRY(sealed_memfd("trivet-plan", blob, 0));
  std::vector<int> kept = inherit;
  kept.push_back(plan.get());
  std::string plan_number = fmt::format("{}", plan.get());
  std::string name = "trivet-init";
  std::array<char*, 3> argv{name.data(), plan_number.data(), nullptr};
  std::array<char*, 1> envp{nullptr};
  const auto pid_namespace = TRY(PidNamespaceForChildren::enter(options.pid_namespace));

  int pidfd = -1;
  clone_args args{};
  args.flags = options.clone_flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (options.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(options.cgroup_fd);
  }
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (pid < 0) return fail_errno("clone with namespaces {:#x}", options.clone_flags);
  if (pid == 0) {
    reset_ignored_signals();
    become_stage(program.get(), kept, options, argv.data(), envp.data());
  }
  return StageProcess{.pid = pid, .pidfd = UniqueFd(pidfd)};
}

Result<std::optional<stage::Message>> receive_message(int sync_fd, UniqueFd* fd) {
  stage::Message message{};
  iovec part{.iov_base = &message, .iov_len = sizeof message};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t count = 0;
  do {
    count = recvmsg(sync_fd, &header, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == ECONNRESET) return std::nullopt;
  if (count < 0) return fail_errno("read from the container's init");
  if (count == 0) return std::nullopt;
  if (count != sizeof message)
    return fail(ErrorCode::kCorrupt, "the container's init sent {} bytes", count);
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS && fd != nullptr) {
    int received = -1;
    std::memcpy(&received, CMSG_DATA(rights), sizeof received);
    fd->reset(received);
  }
  return message;
}

Result<> send_go(int sync_fd) {
  return send(sync_fd, stage::MessageKind::kGo);
}

Result<> send_keep(int sync_fd) {
  return send(sync_fd, stage::MessageKind::kKeep);
}

}  // namespace trivet::container
