#include "contract/transport_contract.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <pty.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "contract/hostile.h"

namespace trivet::transport {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Transport : public testing::Test {
 protected:
  void SetUp() override {
    if (guest() != nullptr) return;
    if (std::getenv("CI") != nullptr) FAIL() << "needs " << missing_guest();
    GTEST_SKIP() << "needs " << missing_guest();
  }

  static ExecResult run(const ExecCommand& command, std::string_view input = {}) {
    auto result = guest()->connect()->run(command, input);
    EXPECT_TRUE(result) << result.error().message();
    return result ? std::move(*result) : ExecResult{.exit_code = -1};
  }

  // Whether some process of the guest, but the one that looks, has `text` among its arguments.
  static bool is_running(const std::string& text) {
    const std::string others = "[" + text.substr(0, 1) + "]" + text.substr(1);
    return run({.argv = {"sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | grep -aq -- \"$0\"",
                         others}})
        .ok();
  }

  // Whoever was killed takes a moment to end.
  static bool has_ended(const std::string& text) {
    for (int i = 0; i < 50; ++i) {
      if (!is_running(text)) return true;
      ::usleep(100'000);
    }
    return false;
  }

  static std::vector<std::string> words() {
    std::vector<std::string> words = hostile_words();
    if (guest()->is_text_only) std::erase_if(words, is_binary);
    return words;
  }

  static std::string unique_seconds(int number) {
    static std::atomic<int> count = 0;
    return fmt::format("{}.{}{}", number, ::getpid(), ++count);
  }
};

TEST_F(Transport, GivesEachHostileArgumentByteForByte) {
  std::vector<std::string> argv{"printf", "%s\\0"};
  std::string expected;
  for (const std::string& word : words()) {
    if (word.size() > 1000) continue;
    argv.push_back(word);
    expected += word + '\0';
  }
  const ExecResult all = run({.argv = argv});
  EXPECT_EQ(all.stdout, expected);
  EXPECT_EQ(all.stderr, "");
  for (const std::string& word : words()) {
    if (word.size() < 1000) continue;
    EXPECT_EQ(run({.argv = {"printf", "%s", word}}).stdout, word);
  }
  EXPECT_FALSE(exists("/tmp/trivet-was-here"));
  EXPECT_NE(run({.argv = {"cat", "/tmp/trivet-was-here"}}).exit_code, 0);
}

TEST_F(Transport, SaysWhenItCarriesTextAlone) {
  const auto result = guest()->connect()->run({.argv = {"printf", "%s", "\xff"}});
  if (guest()->is_text_only) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(result.error().message(), HasSubstr("UTF-8"));
  } else {
    EXPECT_EQ(result->stdout, "\xff");
  }
}

TEST_F(Transport, GivesTheEnvironmentTheDirectoryAndTheUser) {
  std::vector<std::string> env;
  for (const std::string& word : words()) {
    if (word.size() > 1000) continue;
    env.push_back(fmt::format("WORD_{}={}", env.size(), word));
  }
  const std::string printed = run({.argv = {"env", "-0"}, .env = env}).stdout;
  for (const std::string& entry : env) EXPECT_THAT(printed, HasSubstr(entry + '\0'));
  EXPECT_EQ(run({.argv = {"pwd"}}).stdout, guest()->workdir + "\n");
  EXPECT_EQ(run({.argv = {"pwd"}, .workdir = "/usr"}).stdout, "/usr\n");
  EXPECT_EQ(run({.argv = {"id", "-un"}}).stdout, guest()->user + "\n");
}

TEST_F(Transport, DoesNotGiveTheGuestThisHostsEnvironment) {
  ::setenv("TRIVET_SECRET", "of this host", 1);
  EXPECT_THAT(run({.argv = {"env"}}).stdout, testing::Not(HasSubstr("TRIVET_SECRET")));
  ::unsetenv("TRIVET_SECRET");
}

TEST_F(Transport, HasExactExitCodes) {
  for (const int code : {0, 1, 128, 255}) {
    EXPECT_EQ(run({.argv = {"sh", "-c", fmt::format("exit {}", code)}}).exit_code, code);
  }
  EXPECT_EQ(run({.argv = {"sh", "-c", "kill -TERM $$"}}).exit_code, 143);
}

TEST_F(Transport, SaysThatAProgramOrADirectoryIsNotThere) {
  const auto missing = guest()->connect()->run({.argv = {"no-such-program"}});
  const auto nowhere = guest()->connect()->run({.argv = {"true"}, .workdir = "/nowhere"});
  if (guest()->missing_is_an_error) {
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), ErrorCode::kCommandNotFound);
    EXPECT_THAT(missing.error().message(), HasSubstr("no-such-program"));
    ASSERT_FALSE(nowhere);
    EXPECT_THAT(nowhere.error().message(), HasSubstr("/nowhere"));
    return;
  }
  ASSERT_TRUE(missing) << missing.error().message();
  EXPECT_EQ(missing->exit_code, 127);
  EXPECT_THAT(missing->stderr, HasSubstr("no-such-program"));
  ASSERT_TRUE(nowhere) << nowhere.error().message();
  EXPECT_EQ(nowhere->exit_code, 126);
}

TEST_F(Transport, StreamsBothWays) {
  std::string large;
  for (int i = 0; i < 300'000; ++i) large += fmt::format("{}\n", i);
  EXPECT_TRUE(run({.argv = {"cat"}}, large).stdout == large);
  const ExecResult both = run({.argv = {"sh", "-c", "echo out; echo err >&2"}});
  EXPECT_EQ(both.stdout, "out\n");
  EXPECT_EQ(both.stderr, "err\n");
  EXPECT_EQ(run({.argv = {"cat"}}).stdout, "");
  // The command does not read what it is given.
  EXPECT_EQ(run({.argv = {"true"}}, large).exit_code, 0);
}

TEST_F(Transport, StreamsWhileTheCommandRuns) {
  Pipe in = make_pipe().value();
  std::atomic<int> lines = 0;
  std::atomic<bool> over = false;
  std::jthread writer([&] {
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(::write(in.write_end.get(), "x\n", 2), 2);
      while (lines <= i && !over) ::usleep(1000);
    }
    in.write_end.reset();
  });
  const ByteSink sink = [&](std::string_view bytes) -> Result<> {
    lines += static_cast<int>(bytes.size() / 2);
    return {};
  };
  const auto code = guest()->connect()->exec({.argv = {"cat"}, .timeout = 60s * guest()->patience},
                                             {.stdin = in.read_end.get(), .stdout = sink});
  over = true;
  ASSERT_TRUE(code) << code.error().message();
  EXPECT_EQ(*code, 0);
  EXPECT_EQ(lines, 3);
}

TEST_F(Transport, EndsTheCommandInTheGuestAtTheTimeout) {
  const std::string seconds = unique_seconds(600);
  const auto late = guest()->connect()->run(
      {.argv = {"sh", "-c", "trap '' TERM; sleep " + seconds + "; sleep " + seconds},
       .timeout = 1s});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::kTimeout);
  EXPECT_THAT(late.error().notes(), testing::IsEmpty());
  EXPECT_TRUE(has_ended(seconds));
}

TEST_F(Transport, ATimeoutLeavesTimeToCleanUp) {
  // A machine in emulation takes seconds for a connection.
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(run({.argv = {"true"}}).ok());
  const auto once = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  const std::string file = "/tmp/cleaned-up-" + unique_seconds(0);
  const auto late = guest()->connect()->run(
      {.argv = {"sh", "-c", "trap 'echo x >\"$0\"; exit 0' TERM; while :; do sleep 0.1; done",
                file},
       .timeout = 2s + 3 * once});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::kTimeout);
  EXPECT_EQ(run({.argv = {"cat", file}}).stdout, "x\n");
  EXPECT_TRUE(run({.argv = {"rm", file}}).ok());
}

TEST_F(Transport, IsCanceledByAStop) {
  std::stop_source stop;
  const std::string seconds = unique_seconds(601);
  const std::jthread canceler([&] {
    while (!is_running(seconds)) ::usleep(10'000);
    stop.request_stop();
  });
  const auto canceled = guest()->connect()->run(
      {.argv = {"sleep", seconds}, .timeout = 60s * guest()->patience, .stop = stop.get_token()});
  ASSERT_FALSE(canceled);
  EXPECT_EQ(canceled.error().code(), ErrorCode::kCanceled);
  EXPECT_TRUE(has_ended(seconds));
}

TEST_F(Transport, EndsACommandThatPrintsTooMuch) {
  const auto result = guest()->connect()->run(
      {.argv = {"yes"}, .timeout = 60s * guest()->patience, .output_limit = 1000});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kLimitExceeded);
}

TEST_F(Transport, IsUsedFromSeveralThreads) {
  const auto transport = guest()->connect();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&transport, i] {
      const std::string word = fmt::format("thread {}", i);
      const auto result = transport->run({.argv = {"echo", "-n", word}});
      ASSERT_TRUE(result) << result.error().message();
      EXPECT_EQ(result->stdout, word);
    });
  }
}

TEST_F(Transport, ALoginHasATerminal) {
  const auto argv = guest()->connect()->login_command(
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
  std::array<char, 1000> buffer{};
  for (ssize_t count = 0; (count = ::read(master, buffer.data(), buffer.size())) > 0;) {
    shown.append(buffer.data(), static_cast<size_t>(count));
  }
  const auto pidfd = open_pidfd(pid);
  EXPECT_EQ(*reap_child(pidfd->get()), 7) << shown;
  EXPECT_EQ(shown, fmt::format("it's $HOME in {}\r\n", guest()->workdir));
}

}  // namespace
}  // namespace trivet::transport
