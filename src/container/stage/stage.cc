// The stage: PID 1 of a container (or an exec'd process) until it becomes the user's program.

#include "container/stage/stage.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/time.h>
#include <linux/time_types.h>

// The compiler may call these even in freestanding code.
extern "C" void* memset(void* where, int value, size_t size) {
  auto* bytes = static_cast<unsigned char*>(where);
  while (size-- > 0) *bytes++ = static_cast<unsigned char>(value);
  return where;
}
extern "C" void* memcpy(void* to, const void* from, size_t size) {
  auto* out = static_cast<unsigned char*>(to);
  const auto* in = static_cast<const unsigned char*>(from);
  while (size-- > 0) *out++ = *in++;
  return to;
}

namespace trivet::stage {

namespace {

// From the UAPI of sockets, whose headers pull in libc.
struct IoVector {
  void* base;
  size_t length;
};
struct MessageHeader {
  void* name;
  int name_length;
  IoVector* iov;
  size_t iov_length;
  void* control;
  size_t control_length;
  unsigned flags;
};
struct alignas(8) ControlFd {
  size_t length;
  int level;
  int type;
  int fd;
};
constexpr int kSolSocket = 1;
constexpr int kScmRights = 1;
constexpr int kMsgNoSignal = 0x4000;

[[noreturn]] void leave(int code) {
  for (;;) sys(__NR_exit_group, code);
}

// The next message; kError at the end of the stream.
MessageKind receive(int fd) {
  Message message{};
  long count = 0;
  do {
    count = sys(__NR_read, fd, &message, sizeof message);
  } while (count == -EINTR);
  return count == sizeof message ? message.kind : MessageKind::kError;
}

int parse_number(const char* text) {
  int value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + (*text - '0');
  return value;
}

long map_plan(Context& context, int fd) {
  uint32_t head[2];  // magic and size
  if (sys(__NR_pread64, fd, head, sizeof head, 0) != sizeof head || head[0] != kMagic)
    return -EINVAL;
  const long address =
      sys(__NR_mmap, 0, static_cast<size_t>(head[1]), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (address < 0 && address > -4096) return address;
  context.base = reinterpret_cast<char*>(address);
  context.plan = reinterpret_cast<const Plan*>(address);
  context.sync_fd = context.plan->sync_fd;
  return sys(__NR_close, fd);
}

// argv and envp arrive as offsets.
void relocate(const Context& context, Span<uint64_t> pointers) {
  auto* pointer = reinterpret_cast<uint64_t*>(context.base + pointers.offset);
  for (uint32_t i = 0; i < pointers.count; ++i) {
    if (pointer[i] != 0) pointer[i] += reinterpret_cast<uint64_t>(context.base);
  }
}

// Blocks until the creator, or whoever connects to the container's start socket, says go. From then
// on reports go to that one. A creator that ends before it said "keep" takes the container along.
Outcome pause_before_exec(Context& context) {
  if (!context.has(kPauseBeforeExec)) return {};
  send_message(context, Message{.kind = MessageKind::kReady});
  const MessageKind first = receive(context.sync_fd);
  if (first == MessageKind::kGo) return {};
  if (first != MessageKind::kKeep || context.plan->listen_fd < 0) leave(1);
  pollfd fds[2] = {{.fd = context.sync_fd, .events = POLLIN, .revents = 0},
                   {.fd = context.plan->listen_fd, .events = POLLIN, .revents = 0}};
  for (;;) {
    const long ready = sys(__NR_ppoll, fds, 2, 0L, 0L, 0L);
    if (ready == -EINTR) continue;
    if (ready < 0) return failed(ready);
    if (fds[0].revents != 0) {
      if (wait_for_go(fds[0].fd)) return {};
      sys(__NR_close, fds[0].fd);  // the creator has gone
      fds[0].fd = -1;
    }
    if (fds[1].revents != 0) {
      const long peer = sys(__NR_accept4, fds[1].fd, 0L, 0L, O_CLOEXEC);
      if (peer < 0) continue;
      if (wait_for_go(static_cast<int>(peer))) {
        context.sync_fd = static_cast<int>(peer);
        return {};
      }
      sys(__NR_close, peer);
    }
  }
}

Outcome pause_before_pivot(Context& context) {
  if (!context.has(kPauseBeforePivot)) return {};
  return check(pause_for_parent(context, MessageKind::kBeforePivot));
}

struct NamedStep {
  Step step;
  Outcome (*run)(Context&);
};

Outcome report_namespaces(Context& context) {
  if (context.has(kReportNamespaces)) {
    send_message(context, Message{.kind = MessageKind::kNamespaces});
  }
  return {};
}

uint64_t microseconds() {
  __kernel_timespec now{};
  sys(__NR_clock_gettime, CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

void report_time(Context& context, Step step, uint64_t& begin) {
  const uint64_t end = microseconds();
  // The last steps run under the container's own seccomp filter, and waiting is no work.
  const bool is_work = step != Step::kPauseBeforeExec && step < Step::kNoNewPrivileges;
  if (is_work) {
    send_message(context, Message{.kind = MessageKind::kStepDone,
                                  .step = step,
                                  .error = 0,
                                  .operand = static_cast<uint32_t>(end - begin),
                                  .call = Call::kNone});
  }
  begin = microseconds();
}

// The life of a container's process, in order. Steps that a plan doesn't ask for return at once.
constexpr NamedStep kSteps[] = {
    {Step::kJoinNamespaces, join_namespaces},
    {Step::kInitialCpus, set_initial_cpus},
    {Step::kJoinCgroup, join_cgroup},
    {Step::kFinalCpus, set_final_cpus},
    {Step::kUnshare, unshare_rest},
    {Step::kSession, start_session},
    {Step::kLoopback, bring_loopback_up},
    {Step::kNone, report_namespaces},
    {Step::kHostname, set_hostname},
    {Step::kDomainname, set_domainname},
    {Step::kMountRoot, mount_root},
    {Step::kMount, mount_all},
    {Step::kDevice, make_devices},
    {Step::kSymlink, make_symlinks},
    {Step::kConsole, open_console},
    {Step::kSysctl, write_sysctls},
    {Step::kMaskPath, mask_paths},
    {Step::kReadonlyPath, protect_paths},
    {Step::kShow, show_root},
    {Step::kPauseBeforePivot, pause_before_pivot},
    {Step::kPivotRoot, pivot_root},
    {Step::kReadonlyRoot, readonly_root},
    {Step::kFinalPropagation, final_propagation},
    {Step::kKeyring, new_keyring},
    {Step::kStdio, connect_stdio},
    {Step::kScheduler, set_scheduler},
    {Step::kIoPriority, set_io_priority},
    {Step::kPersonality, set_personality},
    {Step::kMemoryPolicy, set_memory_policy},
    {Step::kLsmLabel, set_lsm_label},
    {Step::kBoundingSet, drop_bounding_set},
    {Step::kGroups, set_groups},
    {Step::kUser, set_user},
    {Step::kCwd, enter_cwd},
    {Step::kFindProgram, find_program},
    {Step::kPauseBeforeExec, pause_before_exec},
    {Step::kRlimit, set_rlimits},
    {Step::kNoNewPrivileges, set_no_new_privileges},
    {Step::kCloseDescriptors, close_descriptors},
    {Step::kSeccomp, load_seccomp},
    {Step::kCapabilities, set_capabilities},
    {Step::kExec, execute},
};

[[noreturn]] void run(int plan_fd) {
  Context context;
  sys(__NR_prctl, PR_SET_DUMPABLE, 0);
  sys(__NR_prctl, PR_SET_NAME, "trivet-init");
  if (map_plan(context, plan_fd) < 0) leave(127);
  relocate(context, context.plan->argv);
  relocate(context, context.plan->envp);
  uint64_t begin = microseconds();
  for (const NamedStep& step : kSteps) {
    const Outcome outcome = step.run(context);
    if (outcome.ok()) {
      if (context.has(kReportTimes)) report_time(context, step.step, begin);
      continue;
    }
    send_message(context, Message{.kind = MessageKind::kError,
                                  .step = step.step,
                                  .error = -outcome.error,
                                  .operand = outcome.operand,
                                  .call = outcome.call});
    leave(1);
  }
  leave(1);
}

}  // namespace

size_t length(const char* text) {
  size_t count = 0;
  while (text[count] != '\0') ++count;
  return count;
}

bool equal(const char* a, const char* b) {
  for (; *a == *b; ++a, ++b) {
    if (*a == '\0') return true;
  }
  return false;
}

long open_in_root(int root_fd, const char* path, uint64_t flags, uint64_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  constexpr int kRaceRetries = 128;  // EAGAIN: a rename elsewhere raced with the look-up
  long fd = -EAGAIN;
  for (int attempt = 0; attempt < kRaceRetries && (fd == -EAGAIN || fd == -EINTR); ++attempt) {
    fd = sys(__NR_openat2, root_fd, path, &how, sizeof how);
  }
  return fd;
}

long make_in_root(Context& context, const char* path, Make what) {
  long fd = open_in_root(context.root_fd, path, O_PATH);
  if (fd != -ENOENT) return fd;
  // Walk down. `scratch` holds the part of the path that is done, re-resolved from the root at each
  // level so that a symlink swapped in between still can't leave it.
  char* prefix = context.base + context.plan->scratch;
  size_t used = 0;
  long parent = open_in_root(context.root_fd, "/", O_PATH | O_DIRECTORY);
  for (const char* rest = path; parent >= 0;) {
    while (*rest == '/') ++rest;
    if (*rest == '\0') break;
    size_t size = 0;
    while (rest[size] != '\0' && rest[size] != '/') ++size;
    if (used + size + 2 > 4096) return -ENAMETOOLONG;
    prefix[used++] = '/';
    const char* name = prefix + used;
    for (size_t i = 0; i < size; ++i) prefix[used++] = rest[i];
    prefix[used] = '\0';
    rest += size;
    while (*rest == '/') ++rest;
    const bool last = *rest == '\0';
    fd = open_in_root(context.root_fd, prefix, O_PATH);
    if (fd == -ENOENT) {
      if (last && what == Make::kFile) {
        const long made = sys(__NR_openat, parent, name,
                              O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDONLY, 0644);
        if (made < 0) return made;
        sys(__NR_close, made);
      } else {
        const long made = sys(__NR_mkdirat, parent, name, 0755);
        if (made < 0 && made != -EEXIST) return made;
      }
      fd = open_in_root(context.root_fd, prefix, O_PATH);
    }
    sys(__NR_close, parent);
    parent = fd;
  }
  return parent;
}

long private_proc(Context& context) {
  if (context.proc_fd >= 0) return 0;
  const long fs = sys(__NR_fsopen, "proc", FSOPEN_CLOEXEC);
  if (fs < 0) return fs;
  long result = sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0L, 0L, 0);
  if (result >= 0) result = sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC, 0);
  sys(__NR_close, fs);
  if (result < 0) return result;
  context.proc_fd = static_cast<int>(result);
  return 0;
}

void send_message(Context& context, const Message& message, int fd) {
  Message copy = message;
  IoVector part{.base = &copy, .length = sizeof copy};
  ControlFd control{
      .length = sizeof(ControlFd) - 4, .level = kSolSocket, .type = kScmRights, .fd = fd};
  MessageHeader header{.name = nullptr,
                       .name_length = 0,
                       .iov = &part,
                       .iov_length = 1,
                       .control = fd >= 0 ? &control : nullptr,
                       .control_length = fd >= 0 ? sizeof control : 0,
                       .flags = 0};
  if (!context.has(kSendsBySendmmsg)) {
    sys(__NR_sendmsg, context.sync_fd, &header, kMsgNoSignal);
    return;
  }
  struct {  // mmsghdr of sendmmsg(2)
    MessageHeader header;
    uint32_t sent;
  } one{.header = header, .sent = 0};
  sys(__NR_sendmmsg, context.sync_fd, &one, 1, kMsgNoSignal);
}

bool wait_for_go(int fd) {
  return receive(fd) == MessageKind::kGo;
}

long pause_for_parent(Context& context, MessageKind kind) {
  send_message(context, Message{.kind = kind});
  return wait_for_go(context.sync_fd) ? 0 : -ECANCELED;
}

}  // namespace trivet::stage

// argc, argv[0], argv[1] = the plan's descriptor.
extern "C" [[noreturn]] __attribute__((used)) void stage_main(const long* stack) {
  const auto* argv = reinterpret_cast<const char* const*>(stack + 1);
  trivet::stage::run(stack[0] == 2 ? trivet::stage::parse_number(argv[1]) : -1);
}

#if defined(__x86_64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call stage_main\n");
#elif defined(__aarch64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  mov x29, #0\n"
    "  mov x0, sp\n"
    "  bl stage_main\n");
#endif
