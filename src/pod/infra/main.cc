// trivet-infra: holds a pod's namespaces; started by the pod's supervisor, never by hand. See
// pod/infra.h.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/syscall_filter.h"
#include "base/text.h"
#include "pod/infra.h"
#include "pod/infra/infra.h"

namespace trivet::pod {

namespace {

int complain(std::string_view text) {
  (void)write_all(STDERR_FILENO, fmt::format("trivet-infra: {}\n", text), "stderr");
  return 1;
}

// To wait for the end, and to reap.
Result<> limit_system_calls() {
  SyscallFilter filter;
  constexpr auto kCalls = std::to_array<uint32_t>({
      SYS_epoll_wait,
      SYS_epoll_pwait,
      SYS_epoll_ctl,
      SYS_read,
      SYS_recvfrom,
      SYS_sendto,
      SYS_write,
      SYS_wait4,
      SYS_close,
      SYS_brk,
      SYS_mmap,
      SYS_munmap,
      SYS_exit_group,
      SYS_futex,
      SYS_rt_sigreturn,
      SYS_madvise,
      SYS_getrandom,
      SYS_clock_gettime,
  });
  filter.allow(kCalls);
  return filter.install();
}

Result<> run(std::string_view variable, bool hold) {
  UniqueFd socket(static_cast<int>(TRY(parse_int(variable))));
  unsetenv(kInfraSocketVariable);
  const auto infra = TRY(Infra::create(std::move(socket)));
  if (hold) TRY(limit_system_calls());
  return infra->run();
}

}  // namespace

}  // namespace trivet::pod

int main(int argc, char** argv) {
  using namespace trivet::pod;
  if (const char* variable = std::getenv(kInfraSocketVariable)) {
    const bool hold = argc == 2 && std::string_view(argv[1]) == kInfraHold;
    const auto ended = run(variable, hold);
    return ended ? 0 : complain(ended.error().message());
  }
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("trivet-infra %s\n", TRIVET_VERSION);
    return 0;
  }
  complain("started by a pod's supervisor, not by hand");
  return 2;
}
