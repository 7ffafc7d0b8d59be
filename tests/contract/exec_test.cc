// Commands inside containers, and their streams.
#include <chrono>
#include <fcntl.h>
#include <pty.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "contract.h"

namespace trivet::contract {

namespace {

using Clock = std::chrono::steady_clock;

class ContractExec : public Contract {
 protected:
  void SetUp() override {
    auto box = run_waiting("box");
    ASSERT_OK(box);
    box_ = *box;
  }

  Container box_ = runtime.container("box");
};

TEST_F(ContractExec, OutputAndExitCodeAreCollected) {
  const auto argv = probe("echo", "out", ",", "err", "wrong", ",", "exit", "3");
  will("box", argv, ExecScript().prints("out\n").prints_error("wrong\n").exits(3));
  const auto done = runtime.exec(box_, argv);
  ASSERT_OK(done);
  EXPECT_EQ(done->exit_code, 3);
  EXPECT_EQ(done->stdout, "out\n");
  EXPECT_EQ(done->stderr, "wrong\n");
  EXPECT_FALSE(done->ok());
}

TEST_F(ContractExec, ArgumentsStayData) {
  const auto argv = probe("echo", "a b;$(id) 'c' \"d\" *\n\\");
  will("box", argv, ExecScript().prints(argv.back() + "\n"));
  const auto done = runtime.exec(box_, argv);
  ASSERT_OK(done);
  EXPECT_TRUE(done->ok());
  EXPECT_EQ(done->stdout, argv.back() + "\n");
}

TEST_F(ContractExec, TheEnvironmentIsAddedTo) {
  will("box", probe("env"),
       ExecScript().needs_env({"TRIVET_A=a b", "TRIVET_E="}).prints("TRIVET_A=a b\nTRIVET_E=\n"));
  const auto done =
      runtime.exec(box_, ExecCommand{.argv = probe("env"), .env = {"TRIVET_A=a b", "TRIVET_E="}});
  ASSERT_OK(done);
  EXPECT_NE(done->stdout.find("TRIVET_A=a b\n"), std::string::npos);
  EXPECT_NE(done->stdout.find("TRIVET_E=\n"), std::string::npos);
}

TEST_F(ContractExec, WhatIsNoCommandIsRefused) {
  EXPECT_CODE(kInvalidArgument, runtime.exec(box_, std::vector<std::string>{}));
  EXPECT_CODE(kInvalidArgument, runtime.exec(box_, {""}));
  for (const char* entry : {"NAME", "=x", ""}) {
    EXPECT_CODE(kInvalidArgument,
                runtime.exec(box_, ExecCommand{.argv = probe("env"), .env = {entry}}));
  }
}

TEST_F(ContractExec, AProgramThatIsNotThere) {
  will("box", {"/absent"},
       ExecScript().fails(Error(ErrorCode::kCommandNotFound, "/absent: not found")));
  EXPECT_CODE(kCommandNotFound, runtime.exec(box_, {"/absent"}));
}

// An engine that is another program is not to take a command's words for that program's.
TEST_F(ContractExec, WhatACommandSaysIsItsOwn) {
  for (const char* code : {"125", "126", "255"}) {
    const auto argv = probe("err", "Error: no such container", ",", "exit", code);
    const int exit_code = std::stoi(code);
    will("box", argv, ExecScript().prints_error("Error: no such container\n").exits(exit_code));
    const auto done = runtime.exec(box_, argv);
    ASSERT_OK(done);
    EXPECT_EQ(done->exit_code, exit_code);
    EXPECT_EQ(done->stderr, "Error: no such container\n");
  }
}

TEST_F(ContractExec, NothingRunsInWhatDoesNotRun) {
  ASSERT_OK(box_.stop(0s));
  EXPECT_CODE(kWrongState, runtime.exec(box_, probe("echo", "x")));
}

TEST_F(ContractExec, BytesAreStreamedBothWays) {
  std::string input(300000, 'a');
  input += '\0';
  input += "z\n";
  std::string expected(300000, 'A');
  expected += '\0';
  expected += "Z\n";
  will("box", probe("upper"), ExecScript().reads(input).reads_end().prints(expected));
  std::string output;
  size_t sent = 0;
  const ExecStdio stdio{.stdin = ByteSource([&]() -> Result<std::optional<std::string>> {
                          if (sent == input.size()) return std::nullopt;
                          std::string part = input.substr(sent, 7000);
                          sent += part.size();
                          return part;
                        }),
                        .stdout = ByteSink([&](std::string_view bytes) -> Result<> {
                          output += bytes;
                          return {};
                        }),
                        .stderr = {}};
  EXPECT_EQ(runtime.exec_stdio(box_, ExecCommand{.argv = probe("upper")}, stdio), 0);
  EXPECT_TRUE(output == expected) << output.size() << " of " << expected.size() << " bytes";
}

TEST_F(ContractExec, DescriptorsAreTheCallers) {
  will("box", probe("upper"), ExecScript().reads("typed").reads_end().prints("TYPED"));
  int in[2] = {-1, -1};
  int out[2] = {-1, -1};
  ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  std::jthread typist([fd = in[1]] {
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(write(fd, "typed", 5), 5);
    close(fd);
  });
  EXPECT_EQ(runtime.exec_stdio(box_, ExecCommand{.argv = probe("upper")},
                               {.stdin = in[0], .stdout = out[1], .stderr = {}}),
            0);
  close(out[1]);
  std::string text(100, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, read(out[0], text.data(), text.size()))));
  EXPECT_EQ(text, "TYPED");
  EXPECT_EQ(close(in[0]), 0) << "it is still the caller's";
  close(out[0]);
}

TEST_F(ContractExec, TextIsInput) {
  will("box", probe("upper"), ExecScript().reads("words").reads_end().prints("WORDS"));
  std::string output;
  const auto code = runtime.exec_stdio(box_, ExecCommand{.argv = probe("upper")},
                                       {.stdin = std::string("words"),
                                        .stdout = ByteSink([&](std::string_view bytes) -> Result<> {
                                          output += bytes;
                                          return {};
                                        }),
                                        .stderr = {}});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(output, "WORDS");
}

TEST_F(ContractExec, InputThatIsNotReadIsNoError) {
  will("box", probe("exit", "5"), ExecScript().exits(5));
  const std::string input(1 << 20, 'x');
  EXPECT_EQ(runtime.exec_stdio(box_, ExecCommand{.argv = probe("exit", "5")},
                               {.stdin = input, .stdout = {}, .stderr = {}}),
            5);
}

TEST_F(ContractExec, ATimeoutEndsTheCommand) {
  const auto argv = probe("echo", "begun", ",", "sleep", "100000000");
  will("box", argv, ExecScript().prints("begun\n").hangs());
  std::string output;
  const auto begin = Clock::now();
  const auto done =
      runtime.exec_stdio(box_, ExecCommand{.argv = argv, .timeout = 1500ms * bench().patience},
                         {.stdin = {},
                          .stdout = ByteSink([&](std::string_view bytes) -> Result<> {
                            output += bytes;
                            return {};
                          }),
                          .stderr = {}});
  EXPECT_CODE(kTimeout, done);
  EXPECT_LT(Clock::now() - begin, 10s * bench().patience);
  EXPECT_EQ(output, "begun\n") << "what it had said was delivered";
  EXPECT_EQ(box_.running(), true);
}

TEST_F(ContractExec, AStopEndsTheCommand) {
  const auto argv = probe("sleep", "100000000");
  will("box", argv, ExecScript().hangs());
  std::stop_source source;
  std::jthread other([&] {
    std::this_thread::sleep_for(100ms);
    source.request_stop();
  });
  EXPECT_CODE(kCanceled, runtime.exec(box_, ExecCommand{.argv = argv, .stop = source.get_token()}));
}

TEST_F(ContractExec, WhoTakesNoMoreEndsTheCommand) {
  const auto argv = probe("echo", "x", ",", "sleep", "100000000");
  will("box", argv, ExecScript().prints("x\n").hangs());
  const ExecStdio stdio{.stdin = {},
                        .stdout = ByteSink([](std::string_view) -> Result<> {
                          return fail(ErrorCode::kCorrupt, "that is enough");
                        }),
                        .stderr = {}};
  const auto done = runtime.exec_stdio(box_, ExecCommand{.argv = argv}, stdio);
  EXPECT_CODE(kCorrupt, done);
  EXPECT_NE(done.error().message().find("that is enough"), std::string::npos);
}

TEST_F(ContractExec, AFloodIsLimited) {
  will("box", probe("bytes", "100000"), ExecScript().prints(std::string(100000, 'x')));
  EXPECT_CODE(kLimitExceeded, runtime.exec(box_, ExecCommand{.argv = probe("bytes", "100000"),
                                                             .output_limit = 1000}));
}

// What a program on a new terminal prints; it is replaced by `command`.
std::string run_on_terminal(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  int master = -1;
  const pid_t pid = forkpty(&master, nullptr, nullptr, nullptr);
  if (pid == 0) {
    execvp(argv[0], argv.data());
    _exit(127);
  }
  std::string output;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(master, buffer, sizeof buffer)) > 0;) {
    output.append(buffer, static_cast<size_t>(count));
  }
  close(master);
  waitpid(pid, nullptr, 0);
  return output;
}

TEST_F(ContractExec, ALoginGivesATerminal) {
  const auto command = box_.login_command(probe("echo", "logged in"));
  ASSERT_OK(command);
  if (bench().null) GTEST_SKIP() << "there is no program to execute";
  EXPECT_NE(run_on_terminal(*command).find("logged in\r\n"), std::string::npos);
}

TEST_F(ContractExec, SeveralThreadsShareARuntime) {
  will("box", probe("upper"), ExecScript().reads("same").reads_end().prints("SAME").repeats());
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      std::string output;
      const auto code =
          runtime.exec_stdio(box_, ExecCommand{.argv = probe("upper")},
                             {.stdin = std::string("same"),
                              .stdout = ByteSink([&](std::string_view bytes) -> Result<> {
                                output += bytes;
                                return {};
                              }),
                              .stderr = {}});
      EXPECT_EQ(code, 0);
      EXPECT_EQ(output, "SAME");
    });
  }
}

}  // namespace

}  // namespace trivet::contract
