#include "wasm_host/sandbox.h"

#include <array>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wasm_host/syscall_filter.h"
#include <linux/capability.h>

namespace trivet::wasm_host {

namespace {

constexpr rlim_t kGiB = rlim_t{1} << 30;

struct Limit {
  __rlimit_resource resource;
  rlim_t value;
};
constexpr auto kLimits = std::to_array<Limit>({
    {RLIMIT_AS, 8 * kGiB},
    {RLIMIT_CPU, 600},  // seconds of all threads
    {RLIMIT_FSIZE, 2 * kGiB},
    {RLIMIT_CORE, 0},
});

Result<> close_others(int kept_fd) {
  // kept_fd becomes 3, and everything above goes.
  if (kept_fd != 3 && dup2(kept_fd, 3) < 0) return fail_errno("dup2");
  if (close_range(4, ~0U, 0) != 0) return fail_errno("close_range");
  return {};
}

Result<> drop_privileges() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0) {
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) return fail_errno("unshare");
    if (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 ||
        setresuid(kNobody, kNobody, kNobody) != 0) {
      return fail_errno("become nobody");
    }
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) return fail_errno("drop the capabilities");
  return {};
}

}  // namespace

Result<> enter_compiler_sandbox(int kept_fd) {
  TRY(close_others(kept_fd));
  for (const Limit& limit : kLimits) {
    rlimit now{};
    if (getrlimit(limit.resource, &now) != 0) return fail_errno("getrlimit");
    const rlim_t value = std::min(limit.value, now.rlim_max);
    const rlimit wanted{.rlim_cur = value, .rlim_max = value};
    if (setrlimit(limit.resource, &wanted) != 0) return fail_errno("setrlimit");
  }
  TRY(drop_privileges());
  if (prctl(PR_SET_DUMPABLE, 0L) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    return fail_errno("prctl");
  }
  return install_compile_filter();
}

}  // namespace trivet::wasm_host
