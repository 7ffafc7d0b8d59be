#include "base/syscall_filter.h"

#include <cerrno>
#include <cstddef>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

namespace trivet {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

}  // namespace

SyscallFilter::SyscallFilter() {
  load(offsetof(seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
  load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  // The same calls once more, for programs with pointers of 32 bits.
  add(BPF_JMP | BPF_JGE | BPF_K, __X32_SYSCALL_BIT, 0, 1);
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
#endif
}

void SyscallFilter::allow(std::span<const uint32_t> calls) {
  for (const uint32_t call : calls) {
    add(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
  }
}

void SyscallFilter::allow_without(uint32_t call, unsigned argument, uint32_t bits) {
  add(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4);
  load_argument(argument);
  add(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
}

void SyscallFilter::allow_with(uint32_t call, unsigned argument, uint32_t bits) {
  add(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 5);
  load_argument(argument);
  add(BPF_ALU | BPF_AND | BPF_K, bits, 0, 0);
  add(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1);
  add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
}

void SyscallFilter::allow_values(uint32_t call, unsigned argument,
                                 std::span<const uint32_t> values) {
  add(BPF_JMP | BPF_JEQ | BPF_K, call, 0, static_cast<uint8_t>(2 + 2 * values.size()));
  load_argument(argument);
  for (const uint32_t value : values) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
  }
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
}

void SyscallFilter::refuse(uint32_t call, uint16_t error) {
  add(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error, 0, 0);
}

Result<> SyscallFilter::install(Others others) {
  const bool allowed = others == Others::kAllow;
  add(BPF_RET | BPF_K, allowed ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM, 0, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0) return fail_errno("set no_new_privs");
  const sock_fprog program{.len = static_cast<unsigned short>(code_.size()),
                           .filter = code_.data()};
  // Some threads may have been started already.
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    return fail_errno("install the seccomp filter");
  }
  return {};
}

void SyscallFilter::add(int code, uint32_t k, uint8_t if_true, uint8_t if_false) {
  code_.push_back({static_cast<uint16_t>(code), if_true, if_false, k});
}

void SyscallFilter::load(size_t offset) {
  add(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset), 0, 0);
}

// The lower half; the machines are little-endian.
void SyscallFilter::load_argument(unsigned index) {
  load(offsetof(seccomp_data, args) + index * 8);
}

}  // namespace trivet
