#include "doctor/trial.h"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"

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

namespace {

bool write_text(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

// An ordinary user becomes root of a namespace of their own.
bool map_to_root(uid_t uid, gid_t gid) {
  return write_text("/proc/self/setgroups", "deny") &&
         write_text("/proc/self/uid_map", fmt::format("0 {} 1", uid)) &&
         write_text("/proc/self/gid_map", fmt::format("0 {} 1", gid));
}

}  // namespace

int enter_namespaces(int flags) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (uid != 0) {
    if (unshare(CLONE_NEWUSER) != 0) return errno;
    if (!map_to_root(uid, gid)) return errno;
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
