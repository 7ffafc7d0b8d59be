#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/child_streams.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/spawn.h"
#include "base/text.h"
#include "transport/shell_text.h"
#include "transport/ssh_endpoint.h"
#include "transport/ssh_log.h"
#include "transport/ssh_plan.h"

namespace trivet {

namespace {

using transport::Terminal;

// ssh notes whatever a server sends it, so a server could fill this host's memory with notes.
constexpr rlim_t kLogLimit = rlim_t{4} << 20U;

// Memory that ssh opens by a path of ours: nothing is left of it, however either of us ends.
class LogFile {
 public:
  static Result<LogFile> make() {
    UniqueFd fd(memfd_create("trivet-ssh-log", MFD_CLOEXEC));
    if (!fd) return fail_errno("memfd_create");
    return LogFile(std::move(fd));
  }
  [[nodiscard]] std::string path() const {
    return fmt::format("/proc/{}/fd/{}", ::getpid(), fd_.get());
  }
  [[nodiscard]] Result<std::string> read() const {
    if (::lseek(fd_.get(), 0, SEEK_SET) < 0) return fail_errno("seek in the log of ssh");
    return read_fd(fd_.get(), "the log of ssh", 2 * kLogLimit);
  }

 private:
  explicit LogFile(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// The calling program's secrets and settings are no business of ssh's.
std::vector<std::string> ssh_environment() {
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  return {fmt::format("PATH={}", path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin"),
          "LC_ALL=C.UTF-8"};
}

struct Client {
  UniqueFd pidfd;
  ChildPipes pipes;
};

Result<Client> start_client(const std::vector<std::string>& argv, const ExecStdio& stdio) {
  PipePairs pairs = TRY(make_child_pipes(stdio));
  auto pid = spawn_program(argv, ssh_environment(),
                           {.in = pairs.childs.stdin_fd.get(),
                            .out = pairs.childs.stdout_fd.get(),
                            .err = pairs.childs.stderr_fd.get()});
  if (!pid && pid.error().code() == ErrorCode::kCommandNotFound) {
    return std::unexpected(
        std::move(pid)
            .error()
            .with_code(ErrorCode::kUnsupported)
            .hint("install OpenSSH's client; Debian's package is openssh-client"));
  }
  const pid_t child = TRY(std::move(pid));
  const rlimit limit{.rlim_cur = kLogLimit, .rlim_max = kLogLimit};
  (void)::prlimit(child, RLIMIT_FSIZE, &limit, nullptr);
  auto pidfd = open_pidfd(child);
  if (!pidfd) {
    (void)::kill(child, SIGKILL);
    return std::unexpected(std::move(pidfd).error());
  }
  return Client{.pidfd = std::move(*pidfd), .pipes = std::move(pairs.ours)};
}

class SshTransport final : public GuestTransport {
 public:
  explicit SshTransport(SshOptions options) : options_(std::move(options)) {}

  [[nodiscard]] std::string_view name() const override { return "ssh"; }
  Result<int> exec(const ExecCommand& command, const ExecStdio& stdio) override;
  Result<std::vector<std::string>> login_command(const std::vector<std::string>& argv) override;

 private:
  [[nodiscard]] Result<ExecCommand> completed(ExecCommand command) const;
  [[nodiscard]] Result<SshEndpoint> resolve() const;

  SshOptions options_;
};

// One command on its way: the ssh that runs it, and the ssh that ends it when it has to be ended.
// Closing a connection does not end what a guest runs for it without a terminal.
class Session {
 public:
  Session(const SshOptions& options, SshEndpoint endpoint, const ExecCommand& command)
      : options_(options),
        endpoint_(std::move(endpoint)),
        command_(command),
        mark_(random_hex(kMarkBytes)) {}

  Result<int> run(const ExecStdio& stdio);

 private:
  static constexpr size_t kMarkBytes = 16;

  [[nodiscard]] std::vector<std::string> argv(const LogFile& log, const std::string& text) const {
    return transport::ssh_argv(options_, endpoint_, command_.user, Terminal::kNo, log.path(), text);
  }
  Result<> start_ender();
  Result<> await_ender();
  Error with_ending(Error cause);

  const SshOptions& options_;
  SshEndpoint endpoint_;
  const ExecCommand& command_;
  std::string mark_;
  std::optional<LogFile> ender_log_;
  std::optional<Client> ender_;
  std::optional<Error> ender_failure_;
};

Result<int> Session::run(const ExecStdio& stdio) {
  const std::string text = TRY(transport::command_text(command_, mark_));
  const LogFile log = TRY(LogFile::make());
  Client client = TRY(start_client(argv(log, text), stdio));
  const ChildHooks hooks{.terminate =
                             [this] {
                               if (auto started = start_ender(); !started)
                                 ender_failure_ = started.error();
                             },
                         .kill = [&client] { (void)send_signal(client.pidfd.get(), SIGKILL); }};
  auto code = carry_streams(std::move(client.pipes), client.pidfd.get(), command_, stdio, hooks);
  if (!code) return std::unexpected(with_ending(std::move(code).error()));
  constexpr int kOwnFailure = 255;
  const std::string said = TRY(log.read());
  if (*code < 128 || (*code <= kOwnFailure && transport::status_arrived(said))) return *code;
  return std::unexpected(transport::connection_error(said));
}

Result<> Session::start_ender() {
  ender_log_ = TRY(LogFile::make());
  ender_ = TRY(start_client(argv(*ender_log_, transport::end_text(mark_)), {}));
  return {};
}

// Two of its seconds it waits in the guest for SIGTERM to do; the rest is for the connection.
Result<> Session::await_ender() {
  constexpr std::chrono::seconds kPatience{6};
  if (ender_failure_) return std::unexpected(*ender_failure_);
  const ExecCommand limits{.argv = {"kill"}, .timeout = kPatience};
  const int code = TRY(carry_streams(std::move(ender_->pipes), ender_->pidfd.get(), limits, {}));
  if (code == 0) return {};
  return std::unexpected(transport::connection_error(TRY(ender_log_->read())));
}

Error Session::with_ending(Error cause) {
  if (!ender_ && !ender_failure_) return cause;
  auto ended = await_ender();
  if (ended) return cause;
  return std::move(cause).note(
      std::move(ended).error().in("the command may still run in the guest"));
}

Result<ExecCommand> SshTransport::completed(ExecCommand command) const {
  if (command.user.empty()) command.user = options_.user;
  if (command.workdir.empty()) command.workdir = options_.workdir;
  TRY(transport::check_user(command.user));
  return command;
}

Result<SshEndpoint> SshTransport::resolve() const {
  SshEndpoint endpoint = TRY_IN(options_.endpoint(), "find the guest's SSH port");
  TRY(transport::check_endpoint(endpoint, options_.reach));
  if (!exists(options_.identity_file)) {
    return std::unexpected(
        Error(ErrorCode::kUnauthorized,
              fmt::format("the identity file \"{}\" is not there", options_.identity_file))
            .hint("ssh-keygen makes one; its public half belongs into the guest"));
  }
  return endpoint;
}

Result<int> SshTransport::exec(const ExecCommand& command, const ExecStdio& stdio) {
  const ExecCommand complete = TRY(completed(command));
  TRY(transport::check_command(complete));
  const SshEndpoint endpoint = TRY(resolve());
  auto code = Session(options_, endpoint, complete).run(stdio);
  if (code) return code;
  return std::unexpected(
      std::move(code).error().in(fmt::format("ssh to {}:{}", endpoint.host, endpoint.port)));
}

Result<std::vector<std::string>> SshTransport::login_command(const std::vector<std::string>& argv) {
  const ExecCommand command = TRY(completed({.argv = argv}));
  if (!argv.empty()) TRY(transport::check_command(command));
  const std::string text = TRY(transport::login_text(command));
  return transport::ssh_argv(options_, TRY(resolve()), command.user, Terminal::kYes, "", text);
}

}  // namespace

Result<std::unique_ptr<GuestTransport>> make_ssh_transport(SshOptions options) {
  TRY_IN(transport::check_options(options), "SSH transport");
  return std::make_unique<SshTransport>(std::move(options));
}

}  // namespace trivet
