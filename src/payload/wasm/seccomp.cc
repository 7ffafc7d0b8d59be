#include "payload/wasm/seccomp.h"

#include <cerrno>
#include <sched.h>
#include <sys/socket.h>

namespace trivet::payload::wasm {

namespace {

constexpr const char* kAllow = "SCMP_ACT_ALLOW";

// Files, sockets, time, memory and threads; libc's and Rust's start; the way to a filter of one's
// own. Not there: other programs' memory, namespaces, mounts, keys, users, modes and owners of
// files.
oci::SeccompRule plain_calls() {
  return {.names = {"accept4",
                    "access",
                    "arch_prctl",
                    "bind",
                    "brk",
                    "chdir",
                    "clock_getres",
                    "clock_gettime",
                    "clock_nanosleep",
                    "close",
                    "close_range",
                    "connect",
                    "dup",
                    "dup2",
                    "dup3",
                    "epoll_create1",
                    "epoll_ctl",
                    "epoll_pwait",
                    "epoll_wait",
                    "eventfd2",
                    "execve",
                    "execveat",
                    "exit",
                    "exit_group",
                    "faccessat",
                    "faccessat2",
                    "fadvise64",
                    "fallocate",
                    "fchdir",
                    "fcntl",
                    "fdatasync",
                    "fstat",
                    "fstatfs",
                    "fsync",
                    "ftruncate",
                    "futex",
                    "getcwd",
                    "getdents64",
                    "getegid",
                    "geteuid",
                    "getgid",
                    "getpeername",
                    "getpid",
                    "getrandom",
                    "getrusage",
                    "getsockname",
                    "getsockopt",
                    "gettid",
                    "gettimeofday",
                    "getuid",
                    "ioctl",
                    "linkat",
                    "listen",
                    "lseek",
                    "lstat",
                    "madvise",
                    "membarrier",
                    "mkdirat",
                    "mmap",
                    "mprotect",
                    "mremap",
                    "munmap",
                    "nanosleep",
                    "newfstatat",
                    "open",
                    "openat",
                    "openat2",
                    "pipe2",
                    "poll",
                    "ppoll",
                    "prctl",
                    "pread64",
                    "preadv",
                    "preadv2",
                    "prlimit64",
                    "pwrite64",
                    "pwritev",
                    "pwritev2",
                    "read",
                    "readlink",
                    "readlinkat",
                    "readv",
                    "recvfrom",
                    "recvmmsg",
                    "recvmsg",
                    "renameat",
                    "renameat2",
                    "restart_syscall",
                    "rseq",
                    "rt_sigaction",
                    "rt_sigprocmask",
                    "rt_sigreturn",
                    "sched_getaffinity",
                    "sched_yield",
                    "seccomp",
                    "sendmmsg",
                    "sendmsg",
                    "sendto",
                    "set_robust_list",
                    "set_tid_address",
                    "setsockopt",
                    "shutdown",
                    "sigaltstack",
                    "socketpair",
                    "stat",
                    "statx",
                    "symlinkat",
                    "tgkill",
                    "timerfd_create",
                    "timerfd_settime",
                    "uname",
                    "unlinkat",
                    "utimensat",
                    "write",
                    "writev"},
          .action = kAllow};
}

oci::SeccompRule when(const char* call, uint32_t index, uint64_t value) {
  return {.names = {call},
          .action = kAllow,
          .args = {{.index = index, .value = value, .op = "SCMP_CMP_EQ"}}};
}

}  // namespace

oci::Seccomp default_seccomp() {
  constexpr uint64_t kThread = CLONE_VM | CLONE_THREAD;
  oci::Seccomp profile{.default_action = "SCMP_ACT_ERRNO", .default_errno_ret = EPERM};
  profile.syscalls = {
      plain_calls(),
      {.names = {"clone"},
       .action = kAllow,
       .args = {{.index = 0, .value = kThread, .value_two = kThread, .op = "SCMP_CMP_MASKED_EQ"}}},
      // Its flags are in memory; libc then takes clone.
      {.names = {"clone3"}, .action = "SCMP_ACT_ERRNO", .errno_ret = ENOSYS},
      // Those of WASI, and what libc resolves names by.
      when("socket", 0, AF_INET),
      when("socket", 0, AF_INET6),
      when("socket", 0, AF_UNIX),
      when("socket", 0, AF_NETLINK),
  };
  return profile;
}

}  // namespace trivet::payload::wasm
