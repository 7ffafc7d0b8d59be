#include "container/launch.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error_json.h"
#include "base/fd_passing.h"
#include "base/fs.h"
#include "base/memfd.h"
#include "base/socket_pair.h"
#include "container/stage_program.h"
#include <linux/sched.h>

namespace trivet::container {

namespace {

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

[[noreturn]] void report_and_leave(const LaunchOptions& options, stage::Step step) {
  const stage::Message message{
      .kind = stage::MessageKind::kError, .step = step, .error = errno, .operand = 0, .call = {}};
  (void)!::write(options.sync_fd, &message, sizeof message);
  _exit(127);
}

// In the child. An exec as an id that the user namespace does not map yet takes every capability
// away (user_namespaces(7), capabilities(7)), so the maps and the ids come before it. The raw calls
// are on purpose: those of libc speak with the threads of the process that was cloned.
void become_namespace_root(const LaunchOptions& options) {
  stage::Message message{};
  if (options.new_user_namespace) {
    close(options.parent_sync_fd);  // or the end of the parent would not be seen
    ssize_t count = 0;
    do {
      count = ::read(options.sync_fd, &message, sizeof message);
    } while (count < 0 && errno == EINTR);
    if (count != sizeof message || message.kind != stage::MessageKind::kGo) _exit(127);
    // With the caller's ids still: root of the namespace may not be able to come there. But not
    // before there are maps: until then, what belongs to the container's users is closed to this
    // process.
    if (chdir(options.directory.c_str()) != 0) report_and_leave(options, stage::Step::kMountRoot);
  }
  if (syscall(SYS_setresgid, 0, 0, 0) == 0 && syscall(SYS_setresuid, 0, 0, 0) == 0) return;
  report_and_leave(options, stage::Step::kBecomeRoot);
}

// In the child: only system calls, on memory that the parent prepared.
[[noreturn]] void become_stage(int program_fd, const std::vector<int>& inherit,
                               const LaunchOptions& options, char* const* argv, char* const* envp) {
  for (const int fd : inherit) {
    if (fd >= 0) fcntl(fd, F_SETFD, 0);
  }
  sigset_t blocked;
  sigemptyset(&blocked);
  if (options.block_signals) sigfillset(&blocked);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
  if (options.new_user_namespace || options.user_namespace >= 0) become_namespace_root(options);
  syscall(SYS_execveat, program_fd, "", argv, envp, AT_EMPTY_PATH);
  _exit(127);
}

// Ignored signals stay ignored across exec, so the container would inherit them; and no handler of
// the caller's may run in the child, on the caller's memory.
void reset_signal_handlers() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action{};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_DFL) {
      action.sa_handler = SIG_DFL;
      sigaction(signal, &action, nullptr);
    }
  }
}

// A child to be, and what became of it.
struct Birth {
  clone_args args{};
  const LaunchOptions& options;
  const std::vector<int>& inherit;
  int program_fd;
  char* const* argv;
  char* const* envp;
  std::vector<stage::JoinOp> joins;  // by a process of its own
  pid_t pid = -1;
  const char* failed_call = nullptr;
  int error = 0;
};

[[noreturn]] void be_born(const Birth& birth) {
  reset_signal_handlers();
  become_stage(birth.program_fd, birth.inherit, birth.options, birth.argv, birth.envp);
}

// The system call without a function around it: a child on our stack would overwrite the address
// that the function returns to. -errno on failure.
inline long clone3_in_place(clone_args* args) {
#if defined(__x86_64__)
  long result = SYS_clone3;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(args), "S"(sizeof *args)
                   : "rcx", "r11", "memory");
  return result;
#else
  const long result = syscall(SYS_clone3, args, sizeof *args);
  return result < 0 ? -errno : result;
#endif
}

// A child that executes the stage at once borrows our memory until then (vfork(2)): there is
// nothing to copy. One that waits for its id maps has to have its own.
bool can_borrow_memory(const LaunchOptions& options) {
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
  if (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)) return false;
#endif
  return !options.new_user_namespace;
#else
  (void)options;
  return false;
#endif
}

// All signals are blocked until the child has default handlers.
__attribute__((noinline)) void give_birth(Birth& birth) {
  if (can_borrow_memory(birth.options)) birth.args.flags |= CLONE_VM | CLONE_VFORK;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  const long result = clone3_in_place(&birth.args);
  if (result == 0) be_born(birth);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  if (result > 0) {
    birth.pid = static_cast<pid_t>(result);
  } else {
    birth.error = static_cast<int>(-result);
    birth.failed_call = "clone";
  }
}

// Runs in the process below, on our memory and descriptors.
int join_and_give_birth(void* data) {
  auto& birth = *static_cast<Birth*>(data);
  for (const stage::JoinOp& join : birth.joins) {
    if (setns(join.fd, static_cast<int>(join.type)) == 0) continue;
    birth.error = errno;
    birth.failed_call = "join a namespace";
    return 0;
  }
  birth.args.flags |= CLONE_PARENT;
  birth.args.exit_signal = 0;  // with CLONE_PARENT it is the one of this process
  give_birth(birth);
  return 0;
}

// Nobody comes back from a user namespace, and we stay in our own ones, so another process joins
// them. It shares our memory and our descriptors, in which the pidfd arrives, and its child is
// ours.
Result<> give_birth_elsewhere(Birth& birth) {
  constexpr size_t kStackSize = 256 << 10;
  std::vector<std::max_align_t> stack(kStackSize / sizeof(std::max_align_t));
  const pid_t helper = clone(join_and_give_birth, stack.data() + stack.size(),
                             CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &birth);
  if (helper < 0) return fail_errno("clone");
  while (waitpid(helper, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
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
  SocketPair pair = TRY(make_socket_pair(SocketKind::kMessages));
  return SyncPair{.parent = std::move(pair.ours), .child = std::move(pair.theirs)};
}

Result<StageProcess> launch_stage(const std::string& blob, const std::vector<int>& inherit,
                                  const LaunchOptions& options) {
  const UniqueFd program = TRY(sealed_memfd("trivet-stage", stage_program(), kExecutableMemfd));
  const UniqueFd plan = TRY(sealed_memfd("trivet-plan", blob));
  std::vector<int> kept = inherit;
  kept.push_back(plan.get());
  std::string plan_number = fmt::format("{}", plan.get());
  std::string name = "trivet-init";
  std::array<char*, 3> argv{name.data(), plan_number.data(), nullptr};
  std::array<char*, 1> envp{nullptr};
  // An ordinary user may join a pid namespace only as root of the user namespace that owns it.
  const bool joins_inside =
      geteuid() != 0 && options.user_namespace >= 0 && options.pid_namespace >= 0;
  const auto pid_namespace =
      TRY(PidNamespaceForChildren::enter(joins_inside ? -1 : options.pid_namespace));

  int pidfd = -1;
  Birth birth{.options = options,
              .inherit = kept,
              .program_fd = program.get(),
              .argv = argv.data(),
              .envp = envp.data(),
              .joins = options.joined_before};
  if (options.user_namespace >= 0) {
    birth.joins.push_back({.fd = options.user_namespace, .type = CLONE_NEWUSER});
  }
  if (joins_inside) birth.joins.push_back({.fd = options.pid_namespace, .type = CLONE_NEWPID});
  birth.args.flags = options.clone_flags | CLONE_PIDFD;
  birth.args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  birth.args.exit_signal = SIGCHLD;
  if (options.cgroup_fd >= 0) {
    birth.args.flags |= CLONE_INTO_CGROUP;
    birth.args.cgroup = static_cast<uint64_t>(options.cgroup_fd);
  }
  if (birth.joins.empty()) {
    give_birth(birth);
  } else {
    TRY(give_birth_elsewhere(birth));
  }
  if (birth.failed_call != nullptr) {
    errno = birth.error;
    return fail_errno("{} (new namespaces {:#x})", birth.failed_call, options.clone_flags);
  }
  return StageProcess{.pid = birth.pid, .pidfd = UniqueFd(pidfd)};
}

Result<std::optional<stage::Message>> receive_message(int sync_fd, UniqueFd* fd) {
  stage::Message message{};
  const auto count = receive_with_fd(sync_fd, &message, sizeof message, fd);
  if (!count && count.error().errnum() == ECONNRESET) return std::nullopt;
  if (!count) return std::unexpected(Error(count.error()).in("the container's init"));
  if (*count == 0) return std::nullopt;
  if (*count != sizeof message) {
    return fail(ErrorCode::kCorrupt, "the container's init sent {} bytes", *count);
  }
  return message;
}

Result<> hand_over_conversation(const Program* program, int sync, int listener) {
  if (program == nullptr || !program->conversation) return {};
  const Program::Conversation& places = *program->conversation;
  if (dup3(sync, places.sync, O_CLOEXEC) < 0) return fail_errno("dup3");
  if (listener < 0 || places.listener < 0) return {};
  if (dup3(listener, places.listener, O_CLOEXEC) < 0) return fail_errno("dup3");
  return {};
}

Error read_payload_failure(const UniqueFd& words) {
  constexpr const char* kWho = "the payload's host";
  constexpr size_t kLimit = 1U << 20U;
  if (!words) return {ErrorCode::kCorrupt, fmt::format("{} failed without words", kWho)};
  if (lseek(words.get(), 0, SEEK_SET) < 0) {
    return Error::from_errno(errno, fmt::format("read the words of {}", kWho));
  }
  const auto text = read_fd(words.get(), kWho, kLimit);
  return text ? error_from_text(*text, kWho) : text.error();
}

Result<> send_go(int sync_fd) {
  return send(sync_fd, stage::MessageKind::kGo);
}

Result<> send_keep(int sync_fd) {
  return send(sync_fd, stage::MessageKind::kKeep);
}

}  // namespace trivet::container
