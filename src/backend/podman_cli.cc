#include "backend/podman_cli.h"

#include <array>
#include <csignal>
#include <sys/wait.h>

#include "base/printable.h"
#include "base/process.h"
#include "base/spawn.h"
#include "base/text.h"

namespace trivet::backend {

namespace {

struct Meaning {
  std::string_view text;
  ErrorCode code;
};

// Texts of podman 4 and 5; the first that is found counts.
constexpr std::array kMeanings{
    Meaning{"container state improper", ErrorCode::kWrongState},
    Meaning{"image is in use by a container", ErrorCode::kWrongState},
    Meaning{"must be forced", ErrorCode::kWrongState},
    Meaning{"is already in use", ErrorCode::kAlreadyExists},
    Meaning{"OCI permission denied", ErrorCode::kCommandNotExecutable},
    Meaning{"command that was not found", ErrorCode::kCommandNotFound},
    Meaning{"no such container", ErrorCode::kNotFound},
    Meaning{"image not known", ErrorCode::kNotFound},
    Meaning{"no such image", ErrorCode::kNotFound},
    Meaning{"did not resolve to an alias", ErrorCode::kNotFound},
    Meaning{"manifest unknown", ErrorCode::kNotFound},
    Meaning{"could not be found on", ErrorCode::kNotFound},
    Meaning{"does not exist", ErrorCode::kNotFound},
    Meaning{"no matching entries in passwd file", ErrorCode::kInvalidArgument},
    Meaning{"unknown flag", ErrorCode::kUnsupported},
    Meaning{"authentication required", ErrorCode::kUnauthorized},
    Meaning{"unauthorized", ErrorCode::kUnauthorized},
    Meaning{"connection refused", ErrorCode::kNetwork},
    Meaning{"no such host", ErrorCode::kNetwork},
    Meaning{"i/o timeout", ErrorCode::kNetwork},
    Meaning{"permission denied", ErrorCode::kPermissionDenied},
};

// Why podman could not be started.
Error not_started(Error error) {
  if (error.code() != ErrorCode::kCommandNotFound) return error;
  return std::move(error)
      .with_code(ErrorCode::kUnsupported)
      .hint("install podman, or choose another runtime");
}

}  // namespace

Error podman_error(std::string_view stderr_text) {
  constexpr std::string_view kStart = "Error: ";
  std::string said;
  for (const std::string& line : split(stderr_text, '\n')) {
    if (line.starts_with(kStart)) said = line.substr(kStart.size());
  }
  if (said.empty()) {
    return {ErrorCode::kSystem, fmt::format("podman failed: {}", printable(trim(stderr_text)))};
  }
  for (const Meaning& meaning : kMeanings) {
    if (said.contains(meaning.text)) return {meaning.code, "podman: " + printable(said)};
  }
  return {ErrorCode::kSystem, "podman: " + printable(said)};
}

Result<std::vector<std::string>> PodmanCli::argv(const std::vector<std::string>& words) const {
  std::vector<std::string> argv{options_.program};
  argv.insert(argv.end(), options_.arguments.begin(), options_.arguments.end());
  argv.insert(argv.end(), words.begin(), words.end());
  for (const std::string& word : argv) {
    if (word.contains('\0')) {
      return fail(ErrorCode::kInvalidArgument,
                  "\"{}\" has a NUL byte, which no program can be given", printable(word));
    }
  }
  return argv;
}

Result<std::string> PodmanCli::run(const std::vector<std::string>& words,
                                   std::chrono::seconds limit) const {
  auto output = run_program(TRY(argv(words)), {.timeout = limit});
  if (!output) {
    return std::unexpected(not_started(std::move(output.error())).in("podman " + words.front()));
  }
  if (!output->ok()) return std::unexpected(podman_error(output->stderr_text));
  return std::move(output->stdout_text);
}

Result<int> PodmanCli::stream(const std::vector<std::string>& words, const ExecCommand& limits,
                              const ExecStdio& stdio, ChildHooks hooks) const {
  const std::vector<std::string> command = TRY(argv(words));
  PipePairs pipes = TRY(make_child_pipes(stdio));
  auto pid = spawn_program(command, {},
                           {.in = pipes.childs.stdin_fd.get(),
                            .out = pipes.childs.stdout_fd.get(),
                            .err = pipes.childs.stderr_fd.get()});
  if (!pid) return std::unexpected(not_started(std::move(pid.error())));
  pipes.childs = {};
  auto pidfd = open_pidfd(*pid);
  if (!pidfd) {
    (void)::kill(*pid, SIGKILL);
    (void)::waitpid(*pid, nullptr, 0);
    return std::unexpected(std::move(pidfd.error()));
  }
  if (hooks.kill) {
    hooks.kill = [child = pidfd->get(), also = std::move(hooks.kill)] {
      also();
      (void)send_signal(child, SIGKILL);
    };
  }
  return carry_streams(std::move(pipes.ours), pidfd->get(), limits, stdio, hooks);
}

}  // namespace trivet::backend
