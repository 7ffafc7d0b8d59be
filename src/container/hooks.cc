#include "container/hooks.h"

#include <chrono>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"

namespace trivet::container {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& values) {
  std::vector<char*> result;
  for (const std::string& value : values) result.push_back(const_cast<char*>(value.c_str()));
  result.push_back(nullptr);
  return result;
}

Result<UniqueFd> memory_file(const char* name, std::string_view content) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC));
  if (!fd) return fail_errno("memfd_create");
  TRY(write_all(fd.get(), content, name));
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  return fd;
}

struct HookChild {
  pid_t pid = 0;
  UniqueFd pidfd;
};

// Only system calls between fork and exec.
Result<HookChild> spawn_hook(const oci::Hook& hook, int in, int err, int namespaces_pidfd,
                             int namespace_flags) {
  const std::vector<std::string> default_args{hook.path};
  const std::vector<char*> argv = pointers(hook.args.empty() ? default_args : hook.args);
  const std::vector<char*> envp = pointers(hook.env);
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (namespaces_pidfd >= 0 && setns(namespaces_pidfd, namespace_flags) != 0) _exit(125);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(err, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0) {
      _exit(125);
    }
    close_range(3, ~0U, 0);
    execve(hook.path.c_str(), argv.data(), envp.data());
    _exit(errno == ENOENT ? 127 : 126);
  }
  auto pidfd = open_pidfd(pid);
  if (!pidfd) {
    ::kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return std::unexpected(std::move(pidfd).error());
  }
  return HookChild{.pid = pid, .pidfd = std::move(*pidfd)};
}

Result<> run_hook(const oci::Hook& hook, const std::string& state, int namespaces_pidfd,
                  int namespace_flags) {
  const UniqueFd in = TRY(memory_file("hook-state", state));
  const UniqueFd err = TRY(memory_file("hook-output", ""));
  const HookChild child =
      TRY(spawn_hook(hook, in.get(), err.get(), namespaces_pidfd, namespace_flags));
  std::optional<std::chrono::milliseconds> timeout;
  if (hook.timeout) timeout = std::chrono::seconds(*hook.timeout);
  const bool ended = TRY(wait_pidfd(child.pidfd.get(), timeout));
  if (!ended) (void)send_signal(child.pidfd.get(), SIGKILL);
  const int exit_code = TRY(reap_child(child.pidfd.get()));
  if (!ended) return fail(ErrorCode::kTimeout, "not done after {} s", *hook.timeout);
  if (exit_code == 0) return {};
  lseek(err.get(), 0, SEEK_SET);
  constexpr size_t kOutputLimit = 64 << 10;
  const std::string output = read_fd(err.get(), "hook output", kOutputLimit).value_or("");
  return fail(ErrorCode::kSystem, "exit code {}{}{}", exit_code, output.empty() ? "" : ": ",
              trim(output));
}

}  // namespace

Result<> run_hooks(const char* kind, const std::vector<oci::Hook>& hooks, const std::string& state,
                   int namespaces_pidfd, int namespace_flags) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    TRY_IN(run_hook(hooks[i], state, namespaces_pidfd, namespace_flags), "hooks.{}[{}] \"{}\"",
           kind, i, hooks[i].path);
  }
  return {};
}

void run_poststop_hooks(const std::vector<oci::Hook>& hooks, const std::string& state,
                        const std::function<void(const std::string&)>& on_warning) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const auto ran = run_hook(hooks[i], state, -1, 0);
    if (ran || !on_warning) continue;
    on_warning(
        fmt::format("hooks.poststop[{}] \"{}\": {}", i, hooks[i].path, ran.error().message()));
  }
}

}  // namespace trivet::container
