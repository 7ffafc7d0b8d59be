#include <array>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "monitor/attach_client.h"

namespace trivet::monitor {
namespace {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
Pipe make_pipe() {
  std::array<int, 2> fds{};
  EXPECT_EQ(pipe2(fds.data(), O_CLOEXEC), 0);
  return {.read_end = UniqueFd(fds[0]), .write_end = UniqueFd(fds[1])};
}

container::Started start_shell(const char* script, int in, int out, int err) {
  container::Started child{.pid = fork(), .pidfd = {}, .console = {}};
  if (child.pid == 0) {
    setsid();
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    execl("/bin/sh", "sh", "-c", script, nullptr);
    _exit(99);
  }
  child.pidfd = open_pidfd(child.pid).value();
  return child;
}

TEST(PumpStreams, CarriesAllThreeStreamsAndTheExitCode) {
  Pipe child_in = make_pipe();
  Pipe child_out = make_pipe();
  Pipe child_err = make_pipe();
  container::Started child = start_shell("wc -c; echo oops >&2; exit 7", child_in.read_end.get(),
                                         child_out.write_end.get(), child_err.write_end.get());
  child_in.read_end.reset();
  child_out.write_end.reset();
  child_err.write_end.reset();
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  std::jthread feeder([&in] {
    const std::string data(300000, 'x');
    (void)write_all(in.write_end.get(), data, "pipe");
    in.write_end.reset();
  });
  const auto outcome = pump_streams({.stdin_fd = std::move(child_in.write_end),
                                     .stdout_fd = std::move(child_out.read_end),
                                     .stderr_fd = std::move(child_err.read_end)},
                                    child,
                                    {.interactive = true,
                                     .stdin_fd = in.read_end.get(),
                                     .stdout_fd = out.write_end.get(),
                                     .stderr_fd = err.write_end.get()});
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(outcome->exit_code, 7);
  out.write_end.reset();
  err.write_end.reset();
  EXPECT_EQ(read_fd(out.read_end.get(), "out").value(), "300000\n");
  EXPECT_EQ(read_fd(err.read_end.get(), "err").value(), "oops\n");
}

TEST(PumpStreams, ForwardsSignals) {
  const container::Started child =
      start_shell("trap 'exit 5' USR1; kill -USR1 $PPID; while :; do sleep 0.05; done", 0, 1, 2);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const auto outcome = pump_streams({}, child, {});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 5);
}

// Its first send meets the reset that the frame before it, which nobody read, has left.
TEST(AttachClient, KnowsTheExitCodeWhenItsInputCameTooLate) {
  AttachPair pair = make_attach_pair().value();
  ASSERT_TRUE(send_frame(pair.client.get(), make_frame(Frame::kStdin, "too late")));
  ASSERT_TRUE(send_frame(pair.monitor.get(), make_frame(Frame::kExit, 152)));
  pair.monitor.reset();
  Pipe in = make_pipe();
  ASSERT_TRUE(write_all(in.write_end.get(), "later still", "pipe"));
  const auto outcome = attach_client(
      std::move(pair.client), {.interactive = true, .stdin_fd = in.read_end.get()}, Announce::kNo);
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(outcome->exit_code, 152);
}

TEST(PumpTerminal, DetachesByKeysAndLeavesTheProcess) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  UniqueFd master_fd(master);
  UniqueFd slave_fd(slave);
  fcntl(master, F_SETFD, FD_CLOEXEC);
  container::Started child =
      start_shell("read line; echo got $line; sleep 60", slave, slave, slave);
  slave_fd.reset();
  child.console = std::move(master_fd);
  const pid_t pid = child.pid;
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  std::jthread typist([&] {
    (void)write_all(in.write_end.get(), "hello\n", "pipe");
    std::string seen;
    std::array<char, 100> buffer{};
    while (seen.find("got hello") == std::string::npos) {
      const ssize_t count = read(out.read_end.get(), buffer.data(), buffer.size());
      if (count <= 0) break;
      seen.append(buffer.data(), static_cast<size_t>(count));
    }
    (void)write_all(in.write_end.get(), "\x10\x11", "pipe");
  });
  const auto outcome = pump_terminal(std::move(child), {.terminal = true,
                                                        .interactive = true,
                                                        .stdin_fd = in.read_end.get(),
                                                        .stdout_fd = out.write_end.get()});
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->detached);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0) << "it goes on";
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

// A monitor of a few lines at the other end of an attach pair.
class AttachedClient : public testing::Test {
 protected:
  AttachPair pair_ = make_attach_pair().value();
  Pipe in_ = make_pipe();
  Pipe out_ = make_pipe();
  std::string buffer_ = std::string(kMaxFrame, '\0');

  AttachOptions options(bool interactive) {
    return {.interactive = interactive,
            .stdin_fd = in_.read_end.get(),
            .stdout_fd = out_.write_end.get(),
            .stderr_fd = out_.write_end.get()};
  }
  Message receive() {
    return receive_frame(pair_.monitor.get(), buffer_.data(), buffer_.size())
        .value()
        .value_or(Message{});
  }
  void send(const std::string& frame) { EXPECT_TRUE(send_frame(pair_.monitor.get(), frame)); }
};

TEST_F(AttachedClient, KeepsToItsCredit) {
  size_t received = 0;
  std::jthread monitor([&] {
    while (received < kStdinWindow) received += receive().payload.size();
    EXPECT_EQ(received, kStdinWindow);
    send(make_frame(Frame::kCredit, static_cast<int32_t>(kStdinWindow)));
    for (Message message = receive(); message.type == Frame::kStdin; message = receive()) {
      received += message.payload.size();
      if (received < 200000) continue;
    }
    send(make_frame(Frame::kStdout, "bye"));
    send(make_frame(Frame::kExit, 3));
  });
  std::jthread feeder([&] {
    (void)write_all(in_.write_end.get(), std::string(200000, 'x'), "pipe");
    in_.write_end.reset();
  });
  const auto outcome = attach_client(std::move(pair_.client), options(true), Announce::kNo);
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(outcome->exit_code, 3);
  monitor.join();
  EXPECT_EQ(received, 200000U);
  out_.write_end.reset();
  EXPECT_EQ(read_fd(out_.read_end.get(), "out").value(), "bye");
}

TEST_F(AttachedClient, AsksForAStopWhenNobodyReadsItsOutput) {
  out_.read_end.reset();
  std::jthread monitor([&] {
    send(make_frame(Frame::kStdout, "into the void"));
    EXPECT_EQ(receive().type, Frame::kStop);
    send(make_frame(Frame::kStdout, "more"));
    send(make_frame(Frame::kExit, 143));
  });
  const auto outcome = attach_client(std::move(pair_.client), options(false), Announce::kNo);
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(outcome->exit_code, 143);
}

TEST_F(AttachedClient, SaysWhenTheMonitorIsGone) {
  pair_.monitor.reset();
  const auto outcome = attach_client(std::move(pair_.client), options(false), Announce::kNo);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message(), testing::HasSubstr("monitor"));
}

}  // namespace
}  // namespace trivet::monitor
