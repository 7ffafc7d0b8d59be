#include "payload/microvm/host_tools.h"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include <linux/mount.h>

namespace trivet::payload::microvm {

namespace {

constexpr std::chrono::minutes kToolTimeout{15};
constexpr int kExitNoMount = 125;
constexpr int kExitNoExec = 127;
constexpr size_t kMaxLog = 1U << 20U;

// In the child, where only system calls are allowed: the parent may have threads.
[[noreturn]] void become_tool(const ToolRun& run, const char* path, char** argv, int log) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (!run.mount_point.empty()) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        move_mount(run.mounted, "", AT_FDCWD, run.mount_point.c_str(), MOVE_MOUNT_F_EMPTY_PATH) !=
            0) {
      dprintf(log, "%s", strerrordesc_np(errno));
      _exit(kExitNoMount);
    }
  }
  execv(path, argv);
  _exit(kExitNoExec);
}

std::string last_line(int log) {
  lseek(log, 0, SEEK_SET);
  const auto text = read_fd(log, "output", kMaxLog);
  if (!text) return {};
  const std::vector<std::string> lines = split(trim(*text), '\n');
  return lines.back();
}

Result<int> wait_for(pid_t pid, const std::string& name) {
  auto pidfd = open_pidfd(pid);
  const auto ended = pidfd ? wait_pidfd(pidfd->get(), kToolTimeout) : Result<bool>(true);
  const bool timed_out = ended && !*ended;
  if (timed_out) ::kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno("wait for {}", name);
  }
  if (timed_out) {
    return fail(ErrorCode::kTimeout, "{} was not done after {} minutes", name,
                kToolTimeout.count());
  }
  return exit_code_of(status);
}

}  // namespace

std::string find_host_tool(const std::string& name) {
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  std::string places = path != nullptr ? path : "";
  places += ":/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";
  for (const std::string& directory : split(places, ':')) {
    if (directory.empty() || directory.front() != '/') continue;
    std::string candidate = fmt::format("{}/{}", directory, name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

Result<> run_tool(const ToolRun& run) {
  const std::string& name = run.argv.front();
  const std::string path = find_host_tool(name);
  if (path.empty()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, fmt::format("the program {} is not installed", name))
            .hint(fmt::format("Debian has it in the package {}", run.package)));
  }
  const UniqueFd log(memfd_create("tool-output", MFD_CLOEXEC));
  if (!log) return fail_errno("memfd_create");
  std::vector<char*> argv;
  for (const std::string& word : run.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) become_tool(run, path.c_str(), argv.data(), log.get());
  const int code = TRY(wait_for(pid, name));
  if (code == 0) return {};
  const std::string why = last_line(log.get());
  if (code == kExitNoMount) {
    return fail(ErrorCode::kSystem, "cannot mount over \"{}\": {}", run.mount_point, why);
  }
  return fail(ErrorCode::kSystem, "{} failed with {}: {}", name, code,
              why.empty() ? "it said nothing" : why);
}

Error explain_disk_error(Error error, const std::string& directory) {
  const auto says = [&error](const char* text) {
    return error.message().find(text) != std::string::npos;
  };
  // A tool that failed has only words.
  if (error.errnum() == ENOSPC || says(strerrordesc_np(ENOSPC))) {
    return std::move(error).hint(
        fmt::format("\"{}\" is full: `trivet image prune` and `trivet prune` remove what is not "
                    "needed",
                    directory));
  }
  if (error.errnum() == EROFS || says(strerrordesc_np(EROFS))) {
    return std::move(error).hint(fmt::format("\"{}\" is on a read-only file system", directory));
  }
  return error;
}

}  // namespace trivet::payload::microvm
