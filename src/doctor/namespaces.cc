// What the kernel does for isolation: namespaces, user namespaces and their ids, seccomp, the calls
// that safe paths need.
#include <array>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/syscall_filter.h"
#include "base/text.h"
#include "doctor/trial.h"
#include <linux/mount.h>
#include <linux/openat2.h>

namespace trivet::doctor {

namespace {

struct Kind {
  const char* name;
  int flag;
};

constexpr auto kKinds = std::to_array<Kind>({{"mnt", CLONE_NEWNS},
                                             {"uts", CLONE_NEWUTS},
                                             {"ipc", CLONE_NEWIPC},
                                             {"net", CLONE_NEWNET},
                                             {"pid", CLONE_NEWPID},
                                             {"cgroup", CLONE_NEWCGROUP}});

constexpr const char* kUserNamespaceFix =
    "sysctl user.max_user_namespaces=15000; on Debian also kernel.unprivileged_userns_clone=1, on "
    "Ubuntu kernel.apparmor_restrict_unprivileged_userns=0";

int become_ordinary() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() != 0) return 0;
  if (setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0) {
    return errno;
  }
  // Else its files in /proc belong to root, and no map can be written.
  return prctl(PR_SET_DUMPABLE, 1) == 0 ? 0 : errno;
}

struct Call {
  const char* name;
  int (*try_it)();
};

int errno_unless(bool worked) {
  return worked ? 0 : errno;
}

int try_openat2() {
  struct open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return errno_unless(syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)) >= 0);
}

int try_pidfd() {
  return errno_unless(syscall(SYS_pidfd_open, getpid(), 0) >= 0);
}

int try_close_range() {
  return errno_unless(syscall(SYS_close_range, ~0U, ~0U, 0) == 0);
}

int try_mount_api() {
  if (const int entered = enter_namespaces(CLONE_NEWNS); entered != 0) return entered;
  const auto context = static_cast<int>(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
  if (context < 0) return errno;
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return errno;
  return errno_unless(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0) >= 0);
}

// A child with a user namespace, whose ids somebody outside maps.
class WaitingChild {
 public:
  WaitingChild() : pipe_(make_pipe()) {
    if (!pipe_) return;
    pid_ = fork();
    if (pid_ != 0) return;
    pipe_->read_end.reset();
    const char outcome = unshare(CLONE_NEWUSER) == 0 ? 1 : 0;
    if (write(pipe_->write_end.get(), &outcome, 1) == 1) pause();
    _exit(0);
  }
  WaitingChild(const WaitingChild&) = delete;
  WaitingChild& operator=(const WaitingChild&) = delete;
  ~WaitingChild() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] bool is_ready() const {
    char outcome = 0;
    return pid_ > 0 && read(pipe_->read_end.get(), &outcome, 1) == 1 && outcome == 1;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  Result<Pipe> pipe_;
  pid_t pid_ = -1;
};

struct IdRange {
  std::string first;
  std::string count;
};

// subuid(5): "NAME:FIRST:COUNT", by name or number.
std::optional<IdRange> find_range(const std::string& file, uid_t uid) {
  const struct passwd* entry = getpwuid(uid);  // NOLINT(concurrency-mt-unsafe)
  const std::string name = entry == nullptr ? "" : entry->pw_name;
  for (const std::string& line : split(read_file(file).value_or(""), '\n')) {
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() != 3 || (fields[0] != name && fields[0] != std::to_string(uid))) continue;
    return IdRange{.first = fields[1], .count = fields[2]};
  }
  return std::nullopt;
}

// The map that Podman would make of them, in a namespace that is gone at once.
Result<> try_map(const char* program, uid_t own, const IdRange& range) {
  const WaitingChild child;
  if (!child.is_ready()) return fail(ErrorCode::kUnsupported, "there are no user namespaces");
  const auto output = TRY(run_program({program, std::to_string(child.pid()), "0",
                                       std::to_string(own), "1", "1", range.first, range.count},
                                      {.timeout = std::chrono::seconds(15)}));
  if (output.ok()) return {};
  return fail(ErrorCode::kSystem, "{}: {}", program, trim(output.stderr_text));
}

}  // namespace

DoctorCheck check_privileges() {
  DoctorCheck check = make_check("privileges", "containers of `trivet run` and pods");
  if (geteuid() != 0) {
    check.found = fmt::format("user {}: containers are in this user's own namespace", geteuid());
  } else {
    check.found = in_user_namespace() ? "root of a user namespace" : "root";
  }
  return check;
}

DoctorCheck check_namespaces() {
  DoctorCheck check = make_check("namespaces", "isolation of processes, files, network and names");
  std::vector<std::string> good;
  for (const Kind& kind : kKinds) {
    const int failure = errno_of_trial([&] { return enter_namespaces(kind.flag); });
    if (failure == 0) {
      good.emplace_back(kind.name);
    } else if (check.cause.empty()) {
      set_broken(check, fmt::format("unshare {}: {}", kind.name, errno_words(failure)),
                 geteuid() == 0 ? "run it outside of a container, or in one that may: docker run "
                                  "--privileged"
                                : kUserNamespaceFix);
    }
  }
  check.found = join(good, " ");
  return check;
}

DoctorCheck check_user_namespaces() {
  DoctorCheck check = make_check("user-namespaces", "containers of ordinary users");
  const int failure = errno_of_trial([] {
    if (const int changed = become_ordinary(); changed != 0) return changed;
    return enter_namespaces(0);
  });
  if (failure != 0) {
    set_broken(check, fmt::format("an ordinary user can't make one: {}", errno_words(failure)),
               kUserNamespaceFix);
  }
  return check;
}

DoctorCheck check_subordinate_ids() {
  DoctorCheck check =
      make_check("subordinate-ids", "ordinary users' containers with several users");
  // Whoever asks as root asks for the user behind sudo.
  const char* behind = std::getenv("SUDO_UID");  // NOLINT(concurrency-mt-unsafe)
  if (geteuid() == 0 && behind == nullptr) {
    check.found = "root needs none";
    return check;
  }
  const auto asked = behind == nullptr ? Result<int64_t>(0) : parse_int(behind);
  const uid_t uid = geteuid() != 0 ? geteuid() : static_cast<uid_t>(asked.value_or(0));
  const auto users = find_range("/etc/subuid", uid);
  const auto groups = find_range("/etc/subgid", uid);
  if (!users || !groups) {
    const struct passwd* entry = getpwuid(uid);  // NOLINT(concurrency-mt-unsafe)
    const std::string name = entry == nullptr ? std::to_string(uid) : entry->pw_name;
    set_missing(
        check, fmt::format("{} has no line for {}", users ? "/etc/subgid" : "/etc/subuid", name),
        fmt::format("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}", name));
    return check;
  }
  check.found = fmt::format("{} ids from {}", users->count, users->first);
  for (const auto& [program, own, range] :
       {std::tuple("newuidmap", getuid(), *users), std::tuple("newgidmap", getgid(), *groups)}) {
    const auto mapped = geteuid() == 0 ? Result<>() : try_map(program, own, range);
    if (mapped) continue;
    const bool missing = mapped.error().code() == ErrorCode::kCommandNotFound;
    (missing ? set_missing : set_broken)(check, mapped.error().message(), "apt install uidmap");
    break;
  }
  return check;
}

DoctorCheck check_seccomp() {
  DoctorCheck check = make_check("seccomp", "fewer of the kernel's calls in containers");
  const int failure = errno_of_trial([] {
    SyscallFilter filter;
    filter.refuse(SYS_getppid, EXDEV);
    if (const auto installed = filter.install(SyscallFilter::Others::kAllow); !installed) {
      return installed.error().errnum() == 0 ? EINVAL : installed.error().errnum();
    }
    errno = 0;
    return syscall(SYS_getppid) == -1 && errno == EXDEV ? 0 : ENOTRECOVERABLE;
  });
  if (failure == 0) return check;
  set_broken(check,
             failure == ENOTRECOVERABLE
                 ? "a filter was installed and does not filter"
                 : fmt::format("a filter can't be installed: {}", errno_words(failure)),
             "use a kernel with CONFIG_SECCOMP_FILTER, as Debian's have it");
  return check;
}

DoctorCheck check_system_calls() {
  DoctorCheck check =
      make_check("system-calls", "paths that can't be tricked, processes that can't be mixed up");
  constexpr auto kCalls = std::to_array<Call>({{"openat2", try_openat2},
                                               {"pidfd_open", try_pidfd},
                                               {"close_range", try_close_range},
                                               {"the mount API of Linux 5.2", try_mount_api}});
  std::vector<std::string> failed;
  for (const Call& call : kCalls) {
    const int failure = errno_of_trial(call.try_it);
    if (failure != 0) failed.push_back(fmt::format("{}: {}", call.name, errno_words(failure)));
  }
  if (!failed.empty()) {
    set_broken(check, join(failed, "; "),
               "Linux 5.10 has them; where it is newer, a seccomp filter around us forbids them");
  }
  return check;
}

}  // namespace trivet::doctor
