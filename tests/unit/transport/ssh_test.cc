// The SSH transport against OpenSSH's real server: what only it has. The rest is the contract.
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "contract/transport_contract.h"
#include "sshd.h"

namespace trivet::transport {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Ssh : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (Sshd::missing().empty()) server_ = std::make_unique<Sshd>();
  }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override {
    if (server_ != nullptr) return;
    if (std::getenv("CI") != nullptr) FAIL() << "needs " << Sshd::missing();
    GTEST_SKIP() << "needs " << Sshd::missing();
  }

  static std::unique_ptr<GuestTransport> connect(const SshOptions& options) {
    auto transport = make_ssh_transport(options);
    EXPECT_TRUE(transport) << transport.error().message();
    return transport ? std::move(*transport) : nullptr;
  }
  static std::unique_ptr<GuestTransport> connect() { return connect(server_->options()); }

  static std::unique_ptr<Sshd> server_;
};

std::unique_ptr<Sshd> Ssh::server_;

TEST_F(Ssh, TellsFailuresOfItsOwnByCodes) {
  SshOptions options = server_->options();
  options.identity_file = server_->path("other");
  const auto denied = connect(options)->run({.argv = {"true"}});
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code(), ErrorCode::kUnauthorized);
  EXPECT_THAT(denied.error().message(), HasSubstr("ssh to 127.0.0.1:"));
  EXPECT_THAT(denied.error().hint_text(), HasSubstr("authorized_keys"));

  options.identity_file = server_->path("nowhere");
  EXPECT_EQ(connect(options)->run({.argv = {"true"}}).error().code(), ErrorCode::kUnauthorized);

  options = server_->options();
  options.program = "/nowhere/ssh";
  const auto missing = connect(options)->run({.argv = {"true"}});
  EXPECT_EQ(missing.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(missing.error().hint_text(), HasSubstr("openssh-client"));

  options = server_->options();
  options.endpoint = [] { return Result<SshEndpoint>(SshEndpoint{"127.0.0.1", 1}); };
  const auto refused = connect(options)->run({.argv = {"true"}});
  EXPECT_EQ(refused.error().code(), ErrorCode::kNetwork);
  EXPECT_THAT(refused.error().message(), HasSubstr("Connection refused"));

  options.endpoint = []() -> Result<SshEndpoint> { return fail(ErrorCode::kNotFound, "no guest"); };
  EXPECT_EQ(connect(options)->run({.argv = {"true"}}).error().code(), ErrorCode::kNotFound);
}

TEST_F(Ssh, RefusesAServerThatItDoesNotKnow) {
  SshOptions options = server_->options();
  options.known_hosts = server_->path("empty");
  const auto unknown = connect(options)->run({.argv = {"true"}});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), ErrorCode::kPermissionDenied);

  options.host_keys = SshHostKeys::kAcceptNew;
  EXPECT_TRUE(connect(options)->run({.argv = {"true"}})->ok());
  EXPECT_THAT(read_file(options.known_hosts).value_or(""), HasSubstr("trivet-guest ssh-ed25519"));
  options.host_keys = SshHostKeys::kKnown;
  EXPECT_TRUE(connect(options)->run({.argv = {"true"}})->ok());

  // Now with a key that is another's.
  const std::string other = read_file(server_->path("other.pub")).value_or("");
  ASSERT_TRUE(replace_file(AT_FDCWD, options.known_hosts, "trivet-guest " + other));
  for (const SshHostKeys policy : {SshHostKeys::kKnown, SshHostKeys::kAcceptNew}) {
    options.host_keys = policy;
    const auto changed = connect(options)->run({.argv = {"true"}});
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code(), ErrorCode::kPermissionDenied);
  }
  options.host_keys = SshHostKeys::kUnchecked;
  EXPECT_TRUE(connect(options)->run({.argv = {"true"}})->ok());
}

TEST_F(Ssh, ReadsNeitherConfigurationNorAgentOfTheUser) {
  ::setenv("SSH_AUTH_SOCK", "/nowhere/agent", 1);
  SshOptions options = server_->options();
  options.identity_file = server_->path("other");  // so that it looks for more keys
  EXPECT_FALSE(connect(options)->run({.argv = {"true"}}));
  ::unsetenv("SSH_AUTH_SOCK");
  // Each file that ssh opens, with a configuration that would be noticed.
  const auto argv = make_ssh_transport(server_->options()).value()->login_command({"true"});
  ASSERT_TRUE(argv);
  std::vector<std::string> traced{"strace", "-f", "-qq", "-e", "trace=openat,connect"};
  traced.insert(traced.end(), argv->begin(), argv->end());
  const auto trace = run_program(traced);
  ASSERT_TRUE(trace) << trace.error().message();
  EXPECT_EQ(trace->exit_code, 0) << trace->stderr_text;
  EXPECT_THAT(trace->stderr_text, HasSubstr("known_hosts"));
  for (const char* file : {"ssh_config", ".ssh/", "agent"}) {
    EXPECT_THAT(trace->stderr_text, testing::Not(HasSubstr(file)));
  }
}

TEST_F(Ssh, ABrokenConnectionIsNoExitCode) {
  Sshd server;
  pid_t left_behind = 0;
  const ByteSink break_it = [&](std::string_view bytes) -> Result<> {
    left_behind = static_cast<pid_t>(parse_int(trim(bytes)).value_or(0));
    server.break_connections();
    return {};
  };
  const auto broken = connect(server.options())
                          ->exec({.argv = {"sh", "-c", "echo $$; exec sleep 60"}, .timeout = 50s},
                                 {.stdout = break_it});
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code(), ErrorCode::kNetwork) << broken.error().message();
  ASSERT_GT(left_behind, 1);
  ::kill(left_behind, SIGKILL);
}

}  // namespace

Guest* guest() {
  static const auto server = Sshd::missing().empty() ? std::make_unique<Sshd>() : nullptr;
  static Guest guest{
      .connect = [] { return make_ssh_transport(server->options()).value(); },
      .user = server ? server->options().user : "",
      .workdir = server ? server->workdir() : "",
  };
  return server ? &guest : nullptr;
}

std::string missing_guest() {
  return Sshd::missing();
}

}  // namespace trivet::transport
