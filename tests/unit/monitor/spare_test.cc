#include "monitor/spare.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"

namespace trivet::monitor {
namespace {

bool has_children() {
  return waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD;
}

// Of this process, which has one.
pid_t child() {
  const std::string text = read_file(fmt::format("/proc/self/task/{}/children", getpid())).value();
  return static_cast<pid_t>(parse_int(std::string(trim(text))).value());
}

// A line of /proc/PID/status.
std::string status_of(pid_t pid, std::string_view key) {
  const std::string text = read_file(fmt::format("/proc/{}/status", pid)).value_or("");
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with(key)) return std::string(trim(line.substr(key.size())));
  }
  return "";
}

// A set of signals there; all of them when it can't be read.
uint64_t signals_of(pid_t pid, std::string_view key) {
  const std::string text = status_of(pid, key);
  return text.empty() ? UINT64_MAX : std::stoull(text, nullptr, 16);
}

template <typename Condition>
bool soon(Condition condition) {
  constexpr int kAttempts = 2000;
  for (int i = 0; i < kAttempts && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

TEST(Spare, EndsWhenNobodyNeedsIt) {
  {
    const Spare spare = Spare::make().value();
    EXPECT_TRUE(has_children());
  }
  EXPECT_FALSE(has_children());
}

TEST(Spare, KeepsNothingOpen) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);  // NOLINT(android-cloexec-pipe): a program would inherit it
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const Spare spare = Spare::make().value();
  writer.reset();
  constexpr int kPatience = 10000;
  pollfd end{.fd = reader.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&end, 1, kPatience), 1);
  EXPECT_TRUE((end.revents & POLLHUP) != 0);
}

TEST(Spare, HasSignalsAsAProgramExpectsThem) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  const auto ignored = signal(SIGHUP, SIG_IGN);
  const Spare spare = Spare::make().value();
  sigprocmask(SIG_SETMASK, &before, nullptr);
  (void)signal(SIGHUP, ignored);
  // The two that libc keeps for threads, where there have been any, can't be reset; a spare process
  // has had none.
  constexpr uint64_t kOfLibc = uint64_t{3} << 31U;
  for (const char* set : {"SigBlk:", "SigIgn:", "SigCgt:"}) {
    EXPECT_TRUE(soon([&] { return (signals_of(child(), set) & ~kOfLibc) == 0; }))
        << status_of(child(), set);
  }
}

// The container is not there, which the monitor says, and ends.
TEST(Spare, BecomesAMonitor) {
  const Directories nowhere{.data = "/nonexistent/data", .state = "/nonexistent/state"};
  MonitorStarting starting =
      Spare::make().value().become({.directories = nowhere, .id = "0123"}).value();
  const pid_t monitor = child();
  EXPECT_TRUE(soon([&] {
    const std::string line = read_file(fmt::format("/proc/{}/cmdline", monitor)).value_or("");
    return line.starts_with(
        "trivet-monitor --data /nonexistent/data --state /nonexistent/state --id");
  }));
  EXPECT_EQ(status_of(monitor, "Name:"), "trivet-monitor");
  ASSERT_TRUE(starting.go());
  const auto started = starting.wait();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message().find("/nonexistent/"), std::string::npos);
  EXPECT_EQ(waitpid(monitor, nullptr, 0), monitor);
}

TEST(Spare, IsNoMonitorUnlessItIsToldToGo) {
  const Directories nowhere{.data = "/nonexistent/data", .state = "/nonexistent/state"};
  (void)Spare::make().value().become({.directories = nowhere, .id = "0123"}).value();
  int status = -1;
  EXPECT_GT(waitpid(-1, &status, 0), 0);
  EXPECT_EQ(status, 0);
}

TEST(Spare, SaysThatItHasGone) {
  Spare spare = Spare::make().value();
  const pid_t pid = child();
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(std::move(spare).become({.directories = {}, .id = "0123"}));
}

// In a process of its own, as it closes one.
TEST(Spare, NeedsTheThreeStreams) {
  const pid_t pid = fork();
  if (pid == 0) {
    close(STDIN_FILENO);
    _exit(Spare::make() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace trivet::monitor
