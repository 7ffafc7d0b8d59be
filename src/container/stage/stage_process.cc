// The stage's steps on namespaces, identity and limits, and the exec itself.

#include "container/stage/stage.h"
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/stat.h>

namespace trivet::stage {

namespace {

constexpr int kIoctlGetFlags = 0x8913;   // SIOCGIFFLAGS
constexpr int kIoctlSetFlags = 0x8914;   // SIOCSIFFLAGS
constexpr int kIoctlSetTty = 0x540e;     // TIOCSCTTY
constexpr uint16_t kInterfaceUp = 1;     // IFF_UP
constexpr int kInet = 2;                 // AF_INET
constexpr int kDatagram = 2;             // SOCK_DGRAM
constexpr int kEffectiveAccess = 0x200;  // AT_EACCESS
constexpr int kExecutable = 1;           // X_OK
constexpr int kIoprioWhoProcess = 1;

long capset(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half) {
    data[half].effective = static_cast<uint32_t>(effective >> (32 * half));
    data[half].permitted = static_cast<uint32_t>(permitted >> (32 * half));
    data[half].inheritable = static_cast<uint32_t>(inheritable >> (32 * half));
  }
  return sys(__NR_capset, &header, data);
}

long permitted_capabilities(uint64_t& permitted) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2];
  const long result = sys(__NR_capget, &header, data);
  permitted = data[0].permitted | (static_cast<uint64_t>(data[1].permitted) << 32U);
  return result;
}

// 0 when it is a file that may be executed, else why not.
long try_program(const char* path) {
  struct statx status;
  const long result = sys(__NR_statx, AT_FDCWD, path, 0, STATX_TYPE, &status);
  if (result < 0) return result;
  if ((status.stx_mode & 0170000) == 0040000) return -EISDIR;
  return sys(__NR_faccessat2, AT_FDCWD, path, kExecutable, kEffectiveAccess);
}

long join_path(char* out, const char* directory, const char* name) {
  const size_t directory_size = length(directory);
  const size_t name_size = length(name);
  if (directory_size + name_size + 2 > 4096) return -ENAMETOOLONG;
  size_t used = 0;
  for (size_t i = 0; i < directory_size; ++i) out[used++] = directory[i];
  if (used == 0) out[used++] = '.';
  out[used++] = '/';
  for (size_t i = 0; i <= name_size; ++i) out[used++] = name[i];
  return 0;
}

bool has_slash(const char* text) {
  for (; *text != '\0'; ++text) {
    if (*text == '/') return true;
  }
  return false;
}

// With a listener, whoever starts us passes it on before the program runs. Only the call that sends
// it to them can't be among what the listener is asked about.
Outcome install_filter(Context& context) {
  struct {
    uint16_t count;
    const uint64_t* instructions;
  } program{static_cast<uint16_t>(context.plan->seccomp.count),
            context.data(context.plan->seccomp)};
  const long result =
      sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, context.plan->seccomp_flags, &program);
  if (result < 0 || !context.has(kHasListener)) return check(result);
  send_message(context, Message{.kind = MessageKind::kListener}, static_cast<int>(result));
  sys(__NR_close, result);
  return wait_for_go(context.sync_fd) ? Outcome{} : failed(-ECANCELED);
}

long final_capabilities(const Context& context) {
  const CapabilitySets& sets = context.plan->capabilities;
  long result = capset(sets.effective, sets.permitted, sets.inheritable);
  if (result < 0) return result;
  result = sys(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L);
  for (int bit = 0; bit < 64 && result >= 0; ++bit) {
    if ((sets.ambient >> bit & 1U) != 0) {
      result = sys(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0L, 0L);
    }
  }
  return result;
}

Outcome set_cpus(const Context& context, Span<uint64_t> mask) {
  if (mask.count == 0) return {};
  return check(sys(__NR_sched_setaffinity, 0, mask.count * sizeof(uint64_t), context.data(mask)));
}

}  // namespace

Outcome join_namespaces(Context& context) {
  const JoinOp* joins = context.data(context.plan->joins);
  for (uint32_t i = 0; i < context.plan->joins.count; ++i) {
    const long result = sys(__NR_setns, joins[i].fd, joins[i].type);
    if (result < 0) return failed(result, i);
  }
  return {};
}

Outcome set_initial_cpus(Context& context) {
  return set_cpus(context, context.plan->initial_cpus);
}

Outcome set_final_cpus(Context& context) {
  return set_cpus(context, context.plan->final_cpus);
}

Outcome join_cgroup(Context& context) {
  if (context.has(kAwaitCgroup) && !wait_for_go(context.sync_fd)) return failed(-ECANCELED);
  const int32_t* fds = context.data(context.plan->cgroup_fds);
  for (uint32_t i = 0; i < context.plan->cgroup_fds.count; ++i) {
    const long result = sys(__NR_write, fds[i], "0", 1);
    if (result < 0) return failed(result, i);
    sys(__NR_close, fds[i]);
  }
  return {};
}

Outcome unshare_rest(Context& context) {
  if (context.plan->unshare != 0) {
    const long result = sys(__NR_unshare, context.plan->unshare);
    if (result < 0) return failed(result);
  }
  if (context.plan->timens_offsets.offset == 0) return {};
  const long proc = private_proc(context);
  if (proc < 0) return failed(proc, 0, Call::kFsmount);
  const long fd = sys(__NR_openat, context.proc_fd, "self/timens_offsets", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return failed(fd, 0, Call::kOpenTarget);
  const char* offsets = context.text(context.plan->timens_offsets);
  const long written = sys(__NR_write, fd, offsets, length(offsets));
  sys(__NR_close, fd);
  return check(written, 0, Call::kWrite);
}

Outcome start_session(Context& context) {
  if (!context.has(kSetsid)) return {};
  return check(sys(__NR_setsid));
}

Outcome bring_loopback_up(Context& context) {
  if (!context.has(kLoopbackUp)) return {};
  struct {
    char name[16];
    uint16_t flags;
    char rest[22];
  } request = {{'l', 'o'}, 0, {}};
  const long fd = sys(__NR_socket, kInet, kDatagram | O_CLOEXEC, 0);
  if (fd < 0) return failed(fd);
  long result = sys(__NR_ioctl, fd, kIoctlGetFlags, &request);
  if (result >= 0) {
    request.flags |= kInterfaceUp;
    result = sys(__NR_ioctl, fd, kIoctlSetFlags, &request);
  }
  sys(__NR_close, fd);
  return check(result);
}

Outcome set_hostname(Context& context) {
  if (context.plan->hostname.offset == 0) return {};
  const char* name = context.text(context.plan->hostname);
  return check(sys(__NR_sethostname, name, length(name)));
}

Outcome set_domainname(Context& context) {
  if (context.plan->domainname.offset == 0) return {};
  const char* name = context.text(context.plan->domainname);
  return check(sys(__NR_setdomainname, name, length(name)));
}

Outcome new_keyring(Context& context) {
  if (!context.has(kNewKeyring)) return {};
  const long result = sys(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_ses");
  return result == -ENOSYS ? Outcome{}
                           : check(result);  // a kernel without keyrings has none to share
}

Outcome connect_stdio(Context& context) {
  int fds[3];
  for (int i = 0; i < 3; ++i) {
    fds[i] = context.has(kTerminal) ? context.slave_fd : context.plan->stdio[i];
  }
  if (context.has(kTerminal)) {
    const long result = sys(__NR_ioctl, context.slave_fd, kIoctlSetTty, 0);
    if (result < 0) return failed(result);
  }
  // Lift them above 0 … 2 first: one may be the target of another.
  for (int& fd : fds) {
    if (fd >= 3) continue;
    const long lifted = sys(__NR_fcntl, fd, F_DUPFD_CLOEXEC, 3 + context.plan->preserve_fds);
    if (lifted == -EBADF) {
      fd = -1;
      continue;
    }
    if (lifted < 0) return failed(lifted);
    fd = static_cast<int>(lifted);
  }
  for (int i = 0; i < 3; ++i) {
    if (fds[i] < 0) continue;
    const long result = sys(__NR_dup3, fds[i], i, 0);
    if (result < 0) return failed(result, static_cast<uint32_t>(i));
  }
  return {};
}

Outcome set_scheduler(Context& context) {
  if (!context.has(kHasScheduler)) return {};
  return check(sys(__NR_sched_setattr, 0, &context.plan->scheduler, 0));
}

Outcome set_io_priority(Context& context) {
  if (!context.has(kHasIoPriority)) return {};
  return check(sys(__NR_ioprio_set, kIoprioWhoProcess, 0, context.plan->io_priority));
}

Outcome set_personality(Context& context) {
  if (!context.has(kHasPersonality)) return {};
  return check(sys(__NR_personality, context.plan->personality));
}

Outcome set_memory_policy(Context& context) {
  if (!context.has(kHasMemoryPolicy)) return {};
  const Span<uint64_t> nodes = context.plan->memory_nodes;
  // The kernel takes one bit less than it is told.
  const uint64_t bits = nodes.count == 0 ? 0 : uint64_t{nodes.count} * 64 + 1;
  return check(sys(__NR_set_mempolicy, context.plan->memory_policy,
                   nodes.count == 0 ? nullptr : context.data(nodes), bits));
}

Outcome set_rlimits(Context& context) {
  const RlimitOp* limits = context.data(context.plan->rlimits);
  for (uint32_t i = 0; i < context.plan->rlimits.count; ++i) {
    const uint64_t value[2] = {limits[i].soft, limits[i].hard};
    const long result = sys(__NR_prlimit64, 0, limits[i].resource, value, 0L);
    if (result < 0) return failed(result, i);
  }
  return {};
}

Outcome set_lsm_label(Context& context) {
  if (context.plan->lsm_label.offset == 0) return {};
  const long proc = private_proc(context);
  if (proc < 0) return failed(proc, 0, Call::kFsmount);
  const long fd =
      sys(__NR_openat, context.proc_fd, context.text(context.plan->lsm_path), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return failed(fd, 0, Call::kOpenTarget);
  const char* label = context.text(context.plan->lsm_label);
  const long written = sys(__NR_write, fd, label, length(label));
  sys(__NR_close, fd);
  return check(written, 0, Call::kWrite);
}

Outcome drop_bounding_set(Context& context) {
  if (!context.has(kSetCapabilities)) return {};
  for (int bit = 0; bit < 64; ++bit) {
    if ((context.plan->capabilities.bounding >> bit & 1U) != 0) continue;
    const long result = sys(__NR_prctl, PR_CAPBSET_DROP, bit, 0L, 0L, 0L);
    if (result == -EINVAL) break;  // past the kernel's last capability
    if (result < 0) return failed(result, static_cast<uint32_t>(bit));
  }
  return {};
}

Outcome set_groups(Context& context) {
  if (!context.has(kSetGroups)) return {};
  return check(sys(__NR_setgroups, context.plan->groups.count, context.data(context.plan->groups)));
}

// Keeps the permitted capabilities across the change; set_capabilities() brings them down. What is
// kept serves seccomp(2), which without no_new_privs wants CAP_SYS_ADMIN.
Outcome set_user(Context& context) {
  if (context.has(kHasUmask)) sys(__NR_umask, context.plan->umask);
  const bool keep = context.has(kSetCapabilities);
  long result = keep ? sys(__NR_prctl, PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) : 0;
  if (result >= 0)
    result = sys(__NR_setresgid, context.plan->gid, context.plan->gid, context.plan->gid);
  if (result >= 0)
    result = sys(__NR_setresuid, context.plan->uid, context.plan->uid, context.plan->uid);
  sys(__NR_prctl, PR_SET_DUMPABLE, 0);  // a change of ids resets it
  uint64_t permitted = 0;
  if (result >= 0 && keep) {
    result = permitted_capabilities(permitted);
    if (result >= 0) result = capset(permitted, permitted, 0);
  }
  return check(result);
}

Outcome enter_cwd(Context& context) {
  const long result = sys(__NR_chdir, context.text(context.plan->cwd));
  if (result < 0) return failed(result);
  // A directory outside the root reads as "(unreachable)/…" (CVE-2024-21626).
  char* where = context.base + context.plan->scratch;
  const long size = sys(__NR_getcwd, where, 4096L);
  if (size < 0) return failed(size);
  return where[0] == '/' ? Outcome{} : failed(-EXDEV);
}

Outcome find_program(Context& context) {
  if (context.plan->program_fd >= 0) return {};
  const auto* argv = context.data(context.plan->argv);
  const char* name = reinterpret_cast<const char*>(argv[0]);
  if (name == nullptr) return {};  // a container that can't be started
  if (has_slash(name)) {
    context.program = name;
    const long result = try_program(name);
    return result < 0 ? failed(result) : Outcome{};
  }
  char* path = context.base + context.plan->scratch;
  const Text* directories = context.data(context.plan->search_path);
  long why = -ENOENT;
  for (uint32_t i = 0; i < context.plan->search_path.count; ++i) {
    if (join_path(path, context.text(directories[i]), name) < 0) continue;
    const long result = try_program(path);
    if (result == 0) {
      context.program = path;
      return {};
    }
    if (result == -EACCES) why = result;
  }
  return failed(why);
}

Outcome set_no_new_privileges(Context& context) {
  if (!context.has(kNoNewPrivileges)) return {};
  return check(sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L));
}

// Everything from 3 on that the plan doesn't preserve or hand over goes at exec; the report channel
// lasts until then.
Outcome close_descriptors(Context& context) {
  const uint32_t first = 3 + context.plan->preserve_fds;
  const long result = sys(__NR_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC);
  if (result < 0) return failed(result);
  const int32_t* handed = context.data(context.plan->handed_fds);
  for (uint32_t i = 0; i < context.plan->handed_fds.count; ++i) {
    const long kept = sys(__NR_fcntl, handed[i], F_SETFD, 0);
    if (kept < 0) return failed(kept, i);
  }
  return {};
}

// Without no_new_privs the filter has to go in while CAP_SYS_ADMIN is there, and must then allow
// capset and prctl; with it, the filter is the last thing before exec.
Outcome load_seccomp(Context& context) {
  if (!context.has(kHasSeccomp) || context.has(kNoNewPrivileges)) return {};
  return install_filter(context);
}

Outcome set_capabilities(Context& context) {
  if (context.has(kSetCapabilities)) {
    const long result = final_capabilities(context);
    if (result < 0) return failed(result);
  }
  if (!context.has(kHasSeccomp) || !context.has(kNoNewPrivileges)) return {};
  return install_filter(context);
}

Outcome execute(Context& context) {
  if (context.plan->program_fd >= 0) {
    return check(sys(__NR_execveat, context.plan->program_fd, "", context.data(context.plan->argv),
                     context.data(context.plan->envp), AT_EMPTY_PATH));
  }
  return check(sys(__NR_execve, context.program, context.data(context.plan->argv),
                   context.data(context.plan->envp)));
}

}  // namespace trivet::stage
