#include "krun/confine.h"

#include <array>
#include <cerrno>
#include <sched.h>
#include <sys/syscall.h>

#include "base/syscall_filter.h"

namespace trivet::krun {

namespace {

constexpr auto kRefused = std::to_array<uint32_t>({
    // Other programs.
    __NR_execve,
    __NR_execveat,
#if defined(__x86_64__)
    __NR_fork,
    __NR_vfork,
#endif
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_pidfd_getfd,
    // Other rights.
    __NR_setuid,
    __NR_setgid,
    __NR_setreuid,
    __NR_setregid,
    __NR_setresuid,
    __NR_setresgid,
    __NR_setfsuid,
    __NR_setfsgid,
    __NR_setgroups,
    __NR_setsid,
    __NR_setpgid,
    __NR_capset,
    __NR_unshare,
    __NR_setns,
    __NR_personality,
    // Another tree of files.
    __NR_chroot,
    __NR_pivot_root,
    __NR_mount,
    __NR_umount2,
    __NR_move_mount,
    __NR_open_tree,
    __NR_fsopen,
    __NR_fsmount,
    __NR_mount_setattr,
    __NR_open_by_handle_at,
    // More of the kernel than a machine needs.
    __NR_bpf,
    __NR_io_uring_setup,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_kexec_load,
    __NR_kexec_file_load,
    __NR_reboot,
    __NR_swapon,
    __NR_swapoff,
    __NR_syslog,
    __NR_quotactl,
    __NR_acct,
    // More of the host's time.
    __NR_setpriority,
    __NR_sched_setparam,
    __NR_sched_setscheduler,
    __NR_sched_setattr,
    __NR_sched_setaffinity,
});

}  // namespace

Result<> confine_machine() {
  SyscallFilter filter;
  for (const uint32_t call : kRefused) filter.refuse(call, EPERM);
  filter.allow_with(__NR_clone, 0, CLONE_THREAD);
  filter.refuse(__NR_clone3, ENOSYS);  // its flags are in memory: the C library takes clone then
  return filter.install(SyscallFilter::Others::kAllow);
}

}  // namespace trivet::krun
