#include "vmm/confine.h"

#include <array>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/syscall_filter.h"
#include <linux/capability.h>

namespace trivet::vmm {

namespace {

constexpr auto kRelayCalls = std::to_array<uint32_t>({
    // What is open: data, descriptors in messages, clients, the failure's document.
    __NR_read,
    __NR_write,
    __NR_readv,
    __NR_writev,
    __NR_lseek,
    __NR_close,
    __NR_fstat,
    __NR_fcntl,
    __NR_sendto,
    __NR_sendmsg,
    __NR_recvfrom,
    __NR_recvmsg,
    __NR_accept4,
    __NR_memfd_create,
    __NR_epoll_ctl,
    __NR_epoll_pwait,
    __NR_ppoll,
    // Children that end, and time.
    __NR_waitid,
    __NR_clock_gettime,
    __NR_getrandom,
    __NR_getpid,
    __NR_gettid,
    __NR_restart_syscall,
    // Memory, signals, the end.
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_brk,
    __NR_futex,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_tgkill,
    __NR_exit,
    __NR_exit_group,
#if defined(__x86_64__)
    __NR_poll,
    __NR_epoll_wait,
#endif
});

Result<> drop_capabilities() {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L) != 0) {
    return fail_errno("drop the ambient capabilities");
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) return fail_errno("drop the capabilities");
  return {};
}

}  // namespace

Result<> confine_self() {
  TRY(drop_capabilities());
  SyscallFilter filter;
  filter.allow(kRelayCalls);
  filter.allow_without(__NR_mmap, 2, PROT_EXEC);
  filter.allow_without(__NR_mprotect, 2, PROT_EXEC);
  const auto requests = std::to_array<uint32_t>({TCGETS, TIOCGWINSZ});
  filter.allow_values(__NR_ioctl, 1, requests);
  return filter.install();
}

}  // namespace trivet::vmm
