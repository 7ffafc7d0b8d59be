// Commands in podman's containers, and their end.
#include <csignal>

#include "backend/podman_cli.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"

namespace trivet {

namespace {

constexpr std::string_view kMarkName = "TRIVET_EXEC_ID=";

// The last bytes of a stream.
class Tail {
 public:
  void add(std::string_view bytes) {
    text_ += bytes;
    if (text_.size() > kLimit) text_.erase(0, text_.size() - kLimit);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  static constexpr size_t kLimit = 4096;
  std::string text_;
};

// Whether /proc/PID/environ has this entry; not of what the caller may not look at.
bool has_entry(const std::string& pid, const std::string& entry) {
  const auto environment = read_file("/proc/" + pid + "/environ");
  if (!environment) return false;
  return environment->starts_with(entry + '\0') || environment->contains('\0' + entry + '\0');
}

// `podman exec` leaves what it has started alone when it ends itself.
void signal_marked(const std::string& mark, int signal) {
  const auto entries = list_dir(AT_FDCWD, "/proc");
  if (!entries) return;
  for (const std::string& entry : *entries) {
    const auto pid = parse_int(entry);
    if (!pid) continue;
    const auto pidfd = open_pidfd(static_cast<pid_t>(*pid));
    // The descriptor came first: it is no other process that is looked at and then signalled.
    if (pidfd && has_entry(entry, std::string(kMarkName) + mark)) {
      (void)send_signal(pidfd->get(), signal);
    }
  }
}

std::vector<std::string> exec_words(const std::string& container, const ExecCommand& command,
                                    const ExecStdio& stdio, const std::string& mark) {
  std::vector<std::string> words{"exec", fmt::format("--env={}{}", kMarkName, mark)};
  if (!std::holds_alternative<std::monostate>(stdio.stdin)) words.emplace_back("--interactive");
  for (const std::string& entry : command.env) words.push_back("--env=" + entry);
  if (!command.workdir.empty()) words.push_back("--workdir=" + command.workdir);
  if (!command.user.empty()) words.push_back("--user=" + command.user);
  words.insert(words.end(), {"--", container});
  words.insert(words.end(), command.argv.begin(), command.argv.end());
  return words;
}

// Whether podman could not run the command: its exit codes may be the command's own, too, and only
// together with podman's words for them they count.
bool is_podmans(int exit_code, ErrorCode code) {
  switch (code) {
    case ErrorCode::kCommandNotFound:
      return exit_code == 127;
    case ErrorCode::kCommandNotExecutable:
      return exit_code == 126;
    case ErrorCode::kWrongState:
    case ErrorCode::kNotFound:
    case ErrorCode::kInvalidArgument:
      return exit_code == 125 || exit_code == 255;
    default:
      return false;
  }
}

}  // namespace

Result<int> PodmanRuntime::exec(const std::string& container, const ExecCommand& command,
                                const ExecStdio& stdio) {
  const std::string name = TRY(exact(container));
  const std::string mark = random_hex(16);
  Tail said;
  const ChildHooks hooks{.terminate = [&mark] { signal_marked(mark, SIGTERM); },
                         .kill = [&mark] { signal_marked(mark, SIGKILL); },
                         .on_stderr = [&said](std::string_view bytes) { said.add(bytes); }};
  auto code = cli_->stream(exec_words(name, command, stdio, mark), command, stdio, hooks);
  if (!code) {
    signal_marked(mark, SIGKILL);
    return code;
  }
  Error error = backend::podman_error(said.text());
  if (!is_podmans(*code, error.code())) return code;
  // A command can print the same words, but it can't stop its container, unless it has.
  const bool of_container =
      error.code() == ErrorCode::kWrongState || error.code() == ErrorCode::kNotFound;
  if (of_container) {
    const auto info = find(name, RwSize::kSkip);
    if (info && info->status == ContainerStatus::kRunning) return code;
  }
  return std::unexpected(std::move(error));
}

Result<std::vector<std::string>> PodmanRuntime::login_command(
    const std::string& container, const std::vector<std::string>& argv) {
  std::vector<std::string> words{"exec", "--interactive", "--tty", "--", container};
  words.insert(words.end(), argv.begin(), argv.end());
  return cli_->argv(words);
}

}  // namespace trivet
