#include "vmm/child.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/reset_signals.h"

namespace trivet::vmm {

namespace {

constexpr int kAsideFrom = 512;  // above all numbers that are handed out

struct Prepared {
  std::vector<char*> argv;
  std::vector<char*> env;
  int null_fd = -1;
  int report_fd = -1;
};

// Only system calls from here on.

// A duplicate that none of the numbers that are handed out can hit.
int set_aside(int fd) {
  return fcntl(fd, F_DUPFD_CLOEXEC, kAsideFrom);
}

bool place_descriptors(const ChildPlan& plan, int null_fd) {
  std::array<int, 64> aside{};
  if (plan.inherited.size() > aside.size()) return false;
  for (size_t i = 0; i < plan.inherited.size(); ++i) {
    aside.at(i) = set_aside(plan.inherited[i].fd);
    if (aside.at(i) < 0) return false;
  }
  if (dup2(plan.stderr_fd, STDERR_FILENO) < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
      dup2(null_fd, STDOUT_FILENO) < 0) {
    return false;
  }
  int next = STDERR_FILENO + 1;
  for (size_t i = 0; i < plan.inherited.size(); ++i) {
    if (dup2(aside.at(i), plan.inherited[i].number) < 0) return false;
    next = std::max(next, plan.inherited[i].number + 1);
  }
  return close_range(static_cast<unsigned>(next), ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

bool become(uint32_t uid) {
  return setgroups(0, nullptr) == 0 && setresgid(uid, uid, uid) == 0 &&
         setresuid(uid, uid, uid) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0;
}

// virtiofsd holds a descriptor for each file that the guest knows.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  const rlimit none{};
  (void)setrlimit(RLIMIT_CORE, &none);
}

[[noreturn]] void run_child(const ChildPlan& plan, const Prepared& prepared) {
  raise_file_limit();
  const int report = set_aside(prepared.report_fd);
  const auto give_up = [report] {
    const int error = errno;
    (void)!write(report, &error, sizeof error);
    _exit(127);
  };
  setsid();
  if (plan.uid && !become(*plan.uid)) give_up();
  // After the change of the user, which takes it back.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up();
  if (!place_descriptors(plan, prepared.null_fd)) give_up();
  reset_signals();
  execve(prepared.argv[0], prepared.argv.data(), prepared.env.data());
  give_up();
  _exit(127);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));  // NOLINT(*-const-cast)
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<Child> start_child(const ChildPlan& plan) {
  Prepared prepared{};
  prepared.argv = pointers_to(plan.argv);
  prepared.env = pointers_to(plan.env);
  const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
  prepared.null_fd = null.get();
  Pipe report = TRY(make_pipe());
  prepared.report_fd = report.write_end.get();
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) run_child(plan, prepared);
  Child child {
    .pid = pid, .pidfd = TRY(open_pidfd(pid))
  };
  report.write_end.reset();
  int error = 0;
  if (read(report.read_end.get(), &error, sizeof error) == sizeof error) {
    (void)reap_child(child.pidfd.get());
    return std::unexpected(Error::from_errno(error, fmt::format("run \"{}\"", plan.argv[0])));
  }
  return child;
}

}  // namespace trivet::vmm
