#include "doctor/trial.h"

#include <cerrno>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "linux/id_map.h"

namespace trivet::doctor {

int errno_of_trial(const std::function<int()>& trial) {
  const pid_t child = fork();
  if (child < 0) return errno;
  if (child == 0) _exit(trial());
  const auto pidfd = open_pidfd(child);
  const auto ended =
      pidfd ? wait_pidfd(pidfd->get(), std::chrono::seconds(10)) : Result<bool>(true);
  if (!ended || !*ended) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended || !*ended) return ETIMEDOUT;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

int enter_namespaces(int flags) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (uid != 0) {
    if (unshare(CLONE_NEWUSER) != 0) return errno;
    const auto mapped =
        write_id_maps(getpid(), fmt::format("0 {} 1\n", uid), fmt::format("0 {} 1\n", gid));
    if (!mapped) return mapped.error().errnum();
  }
  return unshare(flags) == 0 ? 0 : errno;
}

std::string errno_words(int errnum) {
  return Error::from_errno(errnum, "").message().substr(2);
}

DoctorCheck make_check(std::string name, std::string purpose) {
  DoctorCheck check;
  check.name = std::move(name);
  check.purpose = std::move(purpose);
  return check;
}

void set_missing(DoctorCheck& check, std::string cause, std::string fix) {
  check.state = DoctorCheck::State::kMissing;
  check.cause = std::move(cause);
  check.fix = std::move(fix);
}

void set_broken(DoctorCheck& check, std::string cause, std::string fix) {
  check.state = DoctorCheck::State::kBroken;
  check.cause = std::move(cause);
  check.fix = std::move(fix);
}

}  // namespace trivet::doctor
