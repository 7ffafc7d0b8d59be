#include "wasm_host/syscall_filter.h"

#include <array>
#include <cerrno>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/syscall_filter.h"

namespace trivet::wasm_host {

namespace {

// Memory, threads, time, and what is open.
constexpr auto kCommon = std::to_array<uint32_t>({
    __NR_read,
    __NR_write,
    __NR_readv,
    __NR_writev,
    __NR_pread64,
    __NR_pwrite64,
    __NR_lseek,
    __NR_close,
    __NR_fstat,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_brk,
    __NR_futex,
    __NR_exit,
    __NR_exit_group,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_sigaltstack,
    __NR_getpid,
    __NR_gettid,
    __NR_tgkill,
    __NR_clock_gettime,
    __NR_clock_getres,
    __NR_gettimeofday,
    __NR_nanosleep,
    __NR_clock_nanosleep,
    __NR_getrandom,
    __NR_sched_yield,
    __NR_sched_getaffinity,
    __NR_set_robust_list,
    __NR_rseq,
    __NR_restart_syscall,
    __NR_membarrier,
    __NR_getrusage,
});

// What WASI offers: files below the root, polls, sockets.
constexpr auto kRunOnly = std::to_array<uint32_t>({
    __NR_preadv,      __NR_pwritev,    __NR_preadv2,        __NR_pwritev2,
    __NR_newfstatat,  __NR_statx,      __NR_openat,         __NR_openat2,
    __NR_unlinkat,    __NR_renameat,   __NR_renameat2,      __NR_mkdirat,
    __NR_linkat,      __NR_symlinkat,  __NR_readlinkat,     __NR_getdents64,
    __NR_utimensat,   __NR_ftruncate,  __NR_fallocate,      __NR_fsync,
    __NR_fdatasync,   __NR_fadvise64,  __NR_fcntl,          __NR_dup,
    __NR_dup3,        __NR_ppoll,      __NR_epoll_create1,  __NR_epoll_ctl,
    __NR_epoll_pwait, __NR_eventfd2,   __NR_timerfd_create, __NR_timerfd_settime,
    __NR_socket,      __NR_bind,       __NR_connect,        __NR_listen,
    __NR_accept4,     __NR_sendto,     __NR_recvfrom,       __NR_sendmsg,
    __NR_recvmsg,     __NR_sendmmsg,   __NR_recvmmsg,       __NR_shutdown,
    __NR_getsockopt,  __NR_setsockopt, __NR_getsockname,    __NR_getpeername,
    __NR_faccessat,   __NR_fstatfs,
#if defined(__x86_64__)
    __NR_open,        __NR_stat,       __NR_lstat,          __NR_poll,
    __NR_epoll_wait,  __NR_readlink,   __NR_access,
#endif
});

// Threads of this process, and what they need.
void allow_common(SyscallFilter& filter) {
  filter.allow(kCommon);
  filter.allow_with(__NR_clone, 0, CLONE_VM | CLONE_THREAD);
  filter.refuse(__NR_clone3, ENOSYS);  // its flags are in memory; libc then takes clone
  const auto names = std::to_array<uint32_t>({PR_SET_NAME, PR_SET_VMA});
  filter.allow_values(__NR_prctl, 0, names);
}

}  // namespace

Result<> install_run_filter() {
  SyscallFilter filter;
  allow_common(filter);
  filter.allow(kRunOnly);
  filter.allow_without(__NR_mmap, 2, PROT_EXEC);
  filter.allow_without(__NR_mprotect, 2, PROT_EXEC);
  const auto requests = std::to_array<uint32_t>({TCGETS, TIOCGWINSZ, FIONBIO, FIONREAD});
  filter.allow_values(__NR_ioctl, 1, requests);
  return filter.install();
}

Result<> install_compile_filter() {
  SyscallFilter filter;
  allow_common(filter);
  // Wasmtime's C API knows no compilation that does not make its result executable at once.
  const auto memory = std::to_array<uint32_t>({__NR_mmap, __NR_mprotect});
  filter.allow(memory);
  return filter.install();
}

}  // namespace trivet::wasm_host
