// Ways to run a command in a guest: the container or virtual machine that an application works in.
//
// The agent is the default: what trivet itself does for `trivet exec`, without a port and without a
// server in the guest. SSH is for guests that have an SSH server on a loopback port already. The
// fake is for tests. All three run the same commands with the same streams and the same errors, so
// that an application is written once, against GuestTransport.
//
//   const auto guest = trivet::make_agent_transport(runtime, "web");
//   const auto listing = guest->run({.argv = {"ls", "/workspace"}});
//
// Nothing is printed, nothing throws. A transport may be used from several threads at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/exec.h"
#include "trivet/export.h"
#include "trivet/result.h"

namespace trivet {

class Runtime;

// A way to run commands in one guest.
class TRIVET_API GuestTransport {
 public:
  GuestTransport() = default;
  GuestTransport(const GuestTransport&) = delete;
  GuestTransport& operator=(const GuestTransport&) = delete;
  GuestTransport(GuestTransport&&) = delete;
  GuestTransport& operator=(GuestTransport&&) = delete;
  virtual ~GuestTransport() = default;  // no command may be running

  // "agent", "ssh" or "fake".
  [[nodiscard]] virtual std::string_view name() const = 0;

  // Runs a command to its end with its streams connected; its exit code. Each argument arrives byte
  // for byte. Errors: kInvalidArgument (nothing was run), kTimeout, kCanceled, those of the
  // caller's sources and sinks, and those of the transport, of which each says below what it has.
  virtual Result<int> exec(const ExecCommand& command, const ExecStdio& stdio) = 0;

  // The program of this host and its arguments that, executed with the caller's terminal, give an
  // interactive session: of argv, or of the user's shell when that is empty. Nothing is run.
  virtual Result<std::vector<std::string>> login_command(const std::vector<std::string>& argv) = 0;

  // exec() with `input` for its stdin and its output collected, at most command.output_limit bytes
  // of each stream: kLimitExceeded.
  Result<ExecResult> run(const ExecCommand& command, std::string_view input = {});
};

// Over the engine that runs the container (trivet/runtime.h), whatever it runs it in: no server, no
// port. Its errors are those of Runtime::exec_stdio(). A login without a command is /bin/sh.
[[nodiscard]] TRIVET_API std::unique_ptr<GuestTransport> make_agent_transport(
    const Runtime& runtime, std::string container);

// ---------------------------------------------------------------- SSH

// Where a guest's SSH server listens.
struct TRIVET_API SshEndpoint {
  std::string host;   // "127.0.0.1", "::1", "localhost"; elsewhere see SshReach
  uint16_t port = 0;  // 1 to 65535

  // "HOST:PORT", "[ADDRESS]:PORT". kInvalidArgument for whatever ssh could take for something else.
  static Result<SshEndpoint> parse(std::string_view text);

  // Of the same text and port.
  friend bool operator==(const SshEndpoint&, const SshEndpoint&) = default;
};

// How far endpoints may be away. A published port of a guest is on the loopback interface.
enum class SshReach {
  kLoopback,  // 127.0.0.0/8, ::1, localhost
  kAnyHost    // wherever the function says; commands and input leave this host
};

// Who a server must be. Every user of this host may listen on a loopback port, so the guest's host
// key is worth checking there, too.
enum class SshHostKeys {
  kKnown,      // its key is in known_hosts
  kAcceptNew,  // or nothing is there of it: then the key is noted
  kUnchecked,  // whoever answers gets the commands and their input
};

// How to reach one guest over SSH.
struct SshOptions {
  // Asked anew for each command and login: a guest's port may change when it is started again. Its
  // errors become the command's. May be called from several threads at once.
  std::function<Result<SshEndpoint>()> endpoint;
  SshReach reach = SshReach::kLoopback;  // endpoints elsewhere are refused
  // The file of the private key, which must be readable for its owner alone. Neither keys nor the
  // agent nor the configuration of the calling user are looked at. An absolute path.
  std::string identity_file;
  SshHostKeys host_keys = SshHostKeys::kKnown;  // who the server must be
  // An absolute path; of no meaning with kUnchecked. No other file is looked at. Keys stand there
  // under host_key_alias, whatever the port.
  std::string known_hosts;
  std::string host_key_alias = "trivet-guest";  // the guest's name in known_hosts
  std::string user = "dev";  // or "root", or whoever there is; ExecCommand::user goes first
  std::string workdir = "/workspace";  // where commands start; ExecCommand::workdir goes first
  std::chrono::seconds connect_timeout{10};  // until the server answers
  std::string program = "ssh";               // OpenSSH's client, found by PATH
};

// Checks the options, but does not connect: kInvalidArgument. The errors of its commands:
//   kUnsupported       this host has no OpenSSH client
//   kNetwork           the server can't be reached, or the connection broke
//   kUnauthorized      the server does not take the key, or the user
//   kPermissionDenied  the server is not the one of known_hosts
//   kLimitExceeded     the command line is longer than 128 KiB less one byte when quoted
// The guest needs a POSIX shell as the user's login shell, and env; to end commands that are over
// their deadline, also grep, sleep and /proc. Exit codes are the command's: 127 when it was not
// found, 126 when it can't be executed or the working directory is not there, 128 + N when signal N
// has ended it.
TRIVET_API Result<std::unique_ptr<GuestTransport>> make_ssh_transport(SshOptions options);

// ---------------------------------------------------------------- a fake

// Runs nothing: records what it is asked for and answers as it was told to.
class TRIVET_API FakeTransport final : public GuestTransport {
 public:
  // What it was asked for once.
  struct Call {
    ExecCommand command;  // argv alone, for a login
    std::string input;    // all that the command would have read
    bool login = false;   // login_command(), not exec()
  };
  // What a command is to do.
  struct Reply {
    int exit_code = 0;                 // how it ends
    std::string stdout;                // what it prints before
    std::string stderr;                // the same
    std::optional<Error> error;        // instead of an end
    std::optional<std::string> input;  // what the command must be given, else kInvalidArgument
  };

  FakeTransport();  // without any answer a command ends with 0
  ~FakeTransport() override;

  // The answer to the next command for which there is none yet; in the order of these calls.
  void reply(Reply reply);
  // The answer to every command with this argv, when no other is waiting.
  void reply_to(std::vector<std::string> argv, Reply reply);
  // All calls so far, in their order, failed ones too.
  [[nodiscard]] std::vector<Call> calls() const;

  // "fake".
  [[nodiscard]] std::string_view name() const override { return "fake"; }
  // Takes all of the input, delivers what the answer prints, and ends as that says.
  Result<int> exec(const ExecCommand& command, const ExecStdio& stdio) override;
  // "fake-login" and argv.
  Result<std::vector<std::string>> login_command(const std::vector<std::string>& argv) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trivet
