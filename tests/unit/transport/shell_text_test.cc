#include "transport/shell_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/spawn.h"
#include "base/text.h"
#include "contract/hostile.h"

namespace trivet::transport {
namespace {

using testing::HasSubstr;

ExecCommand in_tmp(std::vector<std::string> argv) {
  return {.argv = std::move(argv), .workdir = "/tmp"};
}

class EveryShell : public testing::TestWithParam<std::vector<std::string>> {
 protected:
  // As sshd(8) does it: the user's shell gets the text after -c.
  static Output run(const ExecCommand& command, const std::string& input = "") {
    const auto text = command_text(command, "0123456789abcdef");
    EXPECT_TRUE(text) << text.error().message();
    std::vector<std::string> argv = GetParam();
    argv.insert(argv.end(), {"-c", *text});
    auto output = run_program(argv, {.stdin_text = input});
    EXPECT_TRUE(output) << output.error().message();
    return *output;
  }
};

TEST_P(EveryShell, GivesEachArgumentByteForByte) {
  for (const std::string& word : hostile_words()) {
    const Output output = run(in_tmp({"printf", "%s", word}));
    EXPECT_EQ(output.stdout_text, word);
    EXPECT_EQ(output.exit_code, 0);
    EXPECT_EQ(output.stderr_text, "");
  }
  EXPECT_FALSE(exists("/tmp/trivet-was-here"));
}

TEST_P(EveryShell, GivesAllArgumentsAtOnceWithTheirBorders) {
  std::vector<std::string> argv{"printf", "%s\\0"};
  std::string expected;
  for (const std::string& word : hostile_words()) {
    if (word.size() > 1000) continue;
    argv.push_back(word);
    expected += word + '\0';
  }
  EXPECT_EQ(run(in_tmp(argv)).stdout_text, expected);
}

TEST_P(EveryShell, GivesEachValueOfTheEnvironmentByteForByte) {
  for (const std::string& word : hostile_words()) {
    ExecCommand command = in_tmp({"sh", "-c", "printf %s \"$A_1\""});
    command.env = {"A_1=" + word};
    EXPECT_EQ(run(command).stdout_text, word);
  }
}

TEST_P(EveryShell, GivesNamesThatMeanSomethingToAShell) {
  ExecCommand command = in_tmp({"env"});
  command.env = {"UID=x", "IFS=y", "PS4=z", "_=w", "RANDOM=v"};
  const std::vector<std::string> lines = split(run(command).stdout_text, '\n');
  for (const std::string& entry : command.env) EXPECT_THAT(lines, testing::Contains(entry));
}

TEST_P(EveryShell, RunsProgramsAndNotTheShellsOwnCommands) {
  EXPECT_EQ(run(in_tmp({"echo", "a\\nb"})).stdout_text, "a\\nb\n");
  EXPECT_EQ(run(in_tmp({"exit", "3"})).exit_code, 127);
}

TEST_P(EveryShell, HasExactExitCodes) {
  for (const int code : {0, 1, 2, 125, 126, 127, 128, 254, 255}) {
    EXPECT_EQ(run(in_tmp({"sh", "-c", fmt::format("exit {}", code)})).exit_code, code);
  }
  const Output killed = run(in_tmp({"sh", "-c", "kill -9 $$"}));
  EXPECT_EQ(killed.exit_code, 137);
  EXPECT_EQ(killed.stderr_text, "");
  const Output missing = run(in_tmp({"no-such-program"}));
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_THAT(missing.stderr_text, HasSubstr("no-such-program"));
  EXPECT_EQ(run(in_tmp({"/etc/passwd"})).exit_code, 126);
}

TEST_P(EveryShell, StartsInTheWorkingDirectory) {
  ExecCommand command{.argv = {"pwd"}, .workdir = "/usr/share"};
  EXPECT_EQ(run(command).stdout_text, "/usr/share\n");
  command.workdir = "/nowhere; touch /tmp/trivet-was-here";
  const Output output = run(command);
  EXPECT_EQ(output.exit_code, 126);
  EXPECT_THAT(output.stderr_text, HasSubstr("/nowhere; touch"));
  EXPECT_FALSE(exists("/tmp/trivet-was-here"));
}

TEST_P(EveryShell, ConnectsInputAndKeepsTheOutputsApart) {
  const Output output = run(in_tmp({"sh", "-c", "cat; echo err >&2"}), "input\n");
  EXPECT_EQ(output.stdout_text, "input\n");
  EXPECT_EQ(output.stderr_text, "err\n");
}

TEST_P(EveryShell, RunsAProgramWithAnEqualsSignInItsName) {
  const std::string path = fmt::format("/tmp/trivet-a=b-{}", random_hex(4));
  auto file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
  ASSERT_TRUE(file);
  ASSERT_TRUE(write_all(file->get(), "#!/bin/sh\nprintf %s \"$1\"\n", path));
  file->reset();
  EXPECT_EQ(run(in_tmp({path, "x=$(id)"})).stdout_text, "x=$(id)");
  ::unlink(path.c_str());
}

TEST_P(EveryShell, EndsWhatHasTheMarkAndNothingElse) {
  const std::string mark = random_hex(16);
  const auto marked =
      command_text(in_tmp({"sh", "-c", "sleep 60 & trap '' TERM; sleep 60; sleep 60"}), mark);
  std::vector<std::string> argv = GetParam();
  argv.insert(argv.end(), {"-c", *marked});
  const auto null = open_file("/dev/null", O_RDWR);
  const StandardFds fds{.in = null->get(), .out = null->get(), .err = null->get()};
  const auto victim = spawn_program(argv, {}, fds);
  const auto bystander = spawn_program({"sleep", "60"}, {}, fds);
  ASSERT_TRUE(victim && bystander);
  const auto victim_fd = open_pidfd(*victim);
  const auto bystander_fd = open_pidfd(*bystander);
  ::usleep(300'000);

  std::vector<std::string> ender = GetParam();
  ender.insert(ender.end(), {"-c", end_text(mark)});
  const auto ended = run_program(ender);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->exit_code, 0) << ended->stderr_text;
  EXPECT_EQ(ended->stderr_text, "");
  EXPECT_TRUE(*wait_pidfd(victim_fd->get(), std::chrono::seconds(20)));
  EXPECT_EQ(*reap_child(victim_fd->get()), 137);
  EXPECT_FALSE(*wait_pidfd(bystander_fd->get(), std::chrono::milliseconds(0)));
  (void)send_signal(bystander_fd->get(), SIGKILL);
  (void)reap_child(bystander_fd->get());
  EXPECT_NE(run_program({"grep", "-lqs", mark, "-r", "/proc", "--include=environ"})->exit_code, 0);
}

INSTANTIATE_TEST_SUITE_P(Shells, EveryShell,
                         testing::Values(std::vector<std::string>{"/bin/sh"},
                                         std::vector<std::string>{"/bin/bash"},
                                         std::vector<std::string>{"/bin/busybox", "sh"}),
                         [](const auto& shell) {
                           const std::string& name = shell.param.front();
                           return name.substr(name.rfind('/') + 1);
                         });

TEST(CheckCommand, RefusesWhatNoGuestCanBeGiven) {
  using std::string_literals::operator""s;
  const auto message = [](const ExecCommand& command) {
    const auto checked = check_command(command);
    return checked ? "fine" : checked.error().message();
  };
  EXPECT_EQ(message(in_tmp({"ls"})), "fine");
  EXPECT_EQ(message(in_tmp({})), "there is no command to run");
  EXPECT_EQ(message(in_tmp({""})), "there is no command to run");
  EXPECT_THAT(message(in_tmp({"-x"})), HasSubstr("taken for an option"));
  EXPECT_THAT(message(in_tmp({"ls", "a\0b"s})), HasSubstr("argument 1 has a NUL"));
  EXPECT_THAT(message({.argv = {"ls"}, .workdir = "relative"}), HasSubstr("not absolute"));
  EXPECT_THAT(message({.argv = {"ls"}, .workdir = "/a\0b"s}), HasSubstr("NUL"));
  for (const std::string& entry :
       {"A"s, ""s, "=x"s, "1A=x"s, "A B=x"s, "A;id=x"s, "$(id)=x"s, "A\nB=x"s, "-i=x"s, "É=x"s}) {
    ExecCommand command = in_tmp({"ls"});
    command.env = {entry};
    EXPECT_THAT(message(command), HasSubstr("is no name of a variable")) << entry;
  }
  ExecCommand command = in_tmp({"ls"});
  command.env = {"A=x\0y"s};
  EXPECT_THAT(message(command), HasSubstr("NUL"));
}

TEST(CommandText, IsRefusedWhenAShellCouldNotBeGivenIt) {
  EXPECT_TRUE(command_text(in_tmp({"echo", std::string(130'000, 'x')}), "m"));
  const auto text = command_text(in_tmp({"echo", std::string(kShellTextLimit, 'x')}), "m");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), ErrorCode::kLimitExceeded);
  EXPECT_THAT(text.error().hint_text(), HasSubstr("input"));
}

TEST(LoginText, IsTheUsersShellWithoutACommand) {
  EXPECT_EQ(*login_text({.workdir = "/workspace"}),
            R"(cd /workspace || exit 126; exec "${SHELL:-/bin/sh}" -l)");
  EXPECT_EQ(*login_text({.argv = {"top", "-d", "1 s"}, .workdir = "/my dir"}),
            "cd '/my dir' || exit 126; exec env -- top -d '1 s'");
}

}  // namespace
}  // namespace trivet::transport
