// The SSH transport against OpenSSH's real server.
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
#include "hostile.h"
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

  static ExecResult run(const ExecCommand& command, std::string_view input = {}) {
    auto result = connect()->run(command, input);
    EXPECT_TRUE(result) << result.error().message();
    return result ? std::move(*result) : ExecResult{.exit_code = -1};
  }

  static std::unique_ptr<Sshd> server_;
};

std::unique_ptr<Sshd> Ssh::server_;

// Whether some process of this host has `text` among its arguments.
bool is_running(const std::string& text) {
  for (const std::string& entry :
       list_dir(AT_FDCWD, "/proc").value_or(std::vector<std::string>{})) {
    const auto line = read_file("/proc/" + entry + "/cmdline", 1U << 20U);
    if (line && line->find(text) != std::string::npos) return true;
  }
  return false;
}

TEST_F(Ssh, GivesEachHostileArgumentByteForByte) {
  std::vector<std::string> argv{"printf", "%s\\0"};
  std::string expected;
  for (const std::string& word : hostile_words()) {
    if (word.size() > 1000) continue;
    argv.push_back(word);
    expected += word + '\0';
  }
  const ExecResult all = run({.argv = argv});
  EXPECT_EQ(all.stdout, expected);
  EXPECT_EQ(all.stderr, "");
  for (const std::string& word : hostile_words()) {
    if (word.size() < 1000) continue;
    EXPECT_EQ(run({.argv = {"printf", "%s", word}}).stdout, word);
  }
  EXPECT_FALSE(exists("/tmp/trivet-was-here"));
}

TEST_F(Ssh, GivesTheEnvironmentAndTheDirectory) {
  std::vector<std::string> env;
  std::string expected;
  for (const std::string& word : hostile_words()) {
    if (word.size() > 1000) continue;
    env.push_back(fmt::format("WORD_{}={}", env.size(), word));
    expected += env.back() + '\0';
  }
  const std::string printed = run({.argv = {"env", "-0"}, .env = env}).stdout;
  for (const std::string& entry : env) EXPECT_THAT(printed, HasSubstr(entry + '\0'));
  EXPECT_EQ(run({.argv = {"pwd"}}).stdout, server_->workdir() + "\n");
  EXPECT_EQ(run({.argv = {"pwd"}, .workdir = "/usr"}).stdout, "/usr\n");
  EXPECT_EQ(run({.argv = {"id", "-un"}}).stdout, server_->options().user + "\n");
}

TEST_F(Ssh, DoesNotGiveTheGuestThisHostsEnvironment) {
  ::setenv("TRIVET_SECRET", "of this host", 1);
  EXPECT_THAT(run({.argv = {"env"}}).stdout, testing::Not(HasSubstr("TRIVET_SECRET")));
  ::unsetenv("TRIVET_SECRET");
}

TEST_F(Ssh, HasExactExitCodes) {
  for (const int code : {0, 1, 128, 255}) {
    EXPECT_EQ(run({.argv = {"sh", "-c", fmt::format("exit {}", code)}}).exit_code, code);
  }
  EXPECT_EQ(run({.argv = {"sh", "-c", "kill -TERM $$"}}).exit_code, 143);
  const ExecResult missing = run({.argv = {"no-such-program"}});
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_THAT(missing.stderr, HasSubstr("no-such-program"));
  EXPECT_EQ(run({.argv = {"true"}, .workdir = "/nowhere"}).exit_code, 126);
}

TEST_F(Ssh, StreamsBothWays) {
  std::string large;
  for (int i = 0; i < 300'000; ++i) large += fmt::format("{}\n", i);
  const ExecResult echoed = run({.argv = {"cat"}}, large);
  EXPECT_EQ(echoed.stdout, large);
  const ExecResult both = run({.argv = {"sh", "-c", "echo out; echo err >&2"}});
  EXPECT_EQ(both.stdout, "out\n");
  EXPECT_EQ(both.stderr, "err\n");
  EXPECT_EQ(run({.argv = {"cat"}}).stdout, "");
  // The command does not read what it is given.
  EXPECT_EQ(run({.argv = {"true"}}, large).exit_code, 0);
}

TEST_F(Ssh, StreamsWhileTheCommandRuns) {
  const auto guest = connect();
  Pipe in = make_pipe().value();
  std::atomic<int> lines = 0;
  std::jthread writer([&] {
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(::write(in.write_end.get(), "x\n", 2), 2);
      while (lines <= i) ::usleep(1000);
    }
    in.write_end.reset();
  });
  const ByteSink sink = [&](std::string_view bytes) -> Result<> {
    lines += static_cast<int>(bytes.size() / 2);
    return {};
  };
  const auto code =
      guest->exec({.argv = {"cat"}, .timeout = 60s}, {.stdin = in.read_end.get(), .stdout = sink});
  ASSERT_TRUE(code) << code.error().message();
  EXPECT_EQ(*code, 0);
  EXPECT_EQ(lines, 3);
}

TEST_F(Ssh, EndsTheCommandInTheGuestAtTheTimeout) {
  const std::string seconds = fmt::format("600.{}", ::getpid());
  const auto start = std::chrono::steady_clock::now();
  const auto late =
      connect()->run({.argv = {"sh", "-c", "trap '' TERM; sleep " + seconds + "; sleep " + seconds},
                      .timeout = 1s});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::kTimeout);
  EXPECT_THAT(late.error().notes(), testing::IsEmpty());
  EXPECT_FALSE(is_running("sleep\0" + seconds));
  EXPECT_FALSE(is_running(seconds));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 30s);
}

TEST_F(Ssh, ATimeoutLeavesTimeToCleanUp) {
  const std::string file = server_->path("cleaned-up");
  const auto late = connect()->run(
      {.argv = {"sh", "-c", "trap 'echo x >\"$0\"; exit 0' TERM; while :; do sleep 0.1; done",
                file},
       .timeout = 2s});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::kTimeout);
  EXPECT_TRUE(exists(file));
}

TEST_F(Ssh, IsCanceledByAStop) {
  std::stop_source stop;
  const std::string seconds = fmt::format("601.{}", ::getpid());
  const std::jthread canceler([&] {
    while (!is_running(seconds)) ::usleep(10'000);
    stop.request_stop();
  });
  const auto canceled =
      connect()->run({.argv = {"sleep", seconds}, .timeout = 60s, .stop = stop.get_token()});
  ASSERT_FALSE(canceled);
  EXPECT_EQ(canceled.error().code(), ErrorCode::kCanceled);
  EXPECT_FALSE(is_running(seconds));
}

TEST_F(Ssh, EndsACommandThatPrintsTooMuch) {
  const auto result = connect()->run({.argv = {"yes"}, .timeout = 60s, .output_limit = 1000});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kLimitExceeded);
}

TEST_F(Ssh, IsUsedFromSeveralThreads) {
  const auto guest = connect();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&guest, i] {
      const std::string word = fmt::format("thread {}", i);
      const auto result = guest->run({.argv = {"echo", "-n", word}});
      ASSERT_TRUE(result) << result.error().message();
      EXPECT_EQ(result->stdout, word);
    });
  }
}

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

TEST_F(Ssh, ALoginHasATerminal) {
  const auto argv = connect()->login_command(
      {"sh", "-c", "test -t 0 && test -t 1 && echo \"$1 in $PWD\" && exit 7", "sh", "it's $HOME"});
  ASSERT_TRUE(argv) << argv.error().message();
  std::vector<char*> words;
  for (const std::string& word : *argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  int master = -1;
  const pid_t pid = ::forkpty(&master, nullptr, nullptr, nullptr);
  if (pid == 0) {
    ::execvp(words[0], words.data());
    ::_exit(99);
  }
  const UniqueFd terminal(master);
  std::string shown;
  char buffer[1000];
  for (ssize_t count = 0; (count = ::read(master, buffer, sizeof buffer)) > 0;) {
    shown.append(buffer, static_cast<size_t>(count));
  }
  const auto pidfd = open_pidfd(pid);
  EXPECT_EQ(*reap_child(pidfd->get()), 7);
  EXPECT_EQ(shown, fmt::format("it's $HOME in {}\r\n", server_->workdir()));
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
}  // namespace trivet::transport
