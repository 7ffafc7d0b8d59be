#include "pod/probe.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "pod/grpc_server.h"
#include "pod/server.h"
#include <net/if.h>

namespace trivet::pod {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// The command as a child of this process, without a container around it.
Result<container::Started> exec_with(const std::vector<std::string>& command, int stdout_fd,
                                     int stderr_fd, int third_fd) {
  std::vector<InheritedFd> inherited{{.fd = stdout_fd, .number = 1},
                                     {.fd = stderr_fd, .number = 2}};
  if (third_fd >= 0) inherited.push_back({.fd = third_fd, .number = 3});
  container::Started started;
  started.pid = TRY(spawn_in_session(command.front(), command, inherited));
  started.pidfd = TRY(open_pidfd(started.pid));
  return started;
}

Result<container::Started> exec_here(const std::vector<std::string>& command, int stdout_fd,
                                     int stderr_fd) {
  return exec_with(command, stdout_fd, stderr_fd, -1);
}

class ProbeTest : public testing::Test {
 protected:
  // Does the action to its end.
  std::string run(const Action& action, milliseconds timeout = milliseconds(5000)) {
    std::string outcome;
    std::unique_ptr<RunningAction> running;
    auto started = start_action(action, timeout, target_, [&](const Result<>& result) {
      outcome = result ? "success" : result.error().message();
      running.reset();
      loop_.stop();
    });
    if (!started) return started.error().message();
    running = std::move(*started);
    EXPECT_TRUE(loop_.run());
    return outcome;
  }

  static Action on_port(Action::Kind kind, uint16_t port) {
    Action action;
    action.kind = kind;
    action.port = port;
    return action;
  }
  static Action command(std::vector<std::string> words) {
    Action action;
    action.command = std::move(words);
    return action;
  }
  static Action shell(std::string script) { return command({"/bin/sh", "-c", std::move(script)}); }
  std::string get_from(const Server::Serve& serve, milliseconds timeout = milliseconds(5000)) {
    Server server([&](int connection) {
      (void)receive_until(connection, "\r\n\r\n");
      serve(connection);
    });
    return run(on_port(Action::Kind::kHttp, server.port()), timeout);
  }

  EventLoop loop_ = EventLoop::create().value();
  ActionTarget target_{.loop = loop_, .exec = exec_here};
};

TEST_F(ProbeTest, ExecSucceedsWithCodeZero) {
  EXPECT_EQ(run(shell("exit 0")), "success");
}

TEST_F(ProbeTest, ExecSaysCodeAndFirstOutput) {
  EXPECT_EQ(run(shell("echo one; echo two >&2; exit 3")),
            "command \"/bin/sh -c echo one; echo two >&2; exit 3\": exited with code 3: one two");
  const std::string flood = run(shell("head -c 1000000 /dev/zero | tr '\\0' x; exit 1"));
  EXPECT_THAT(flood, AllOf(HasSubstr("exited with code 1: xxx"),
                           testing::Not(HasSubstr(std::string(257, 'x')))));
  EXPECT_THAT(run(shell("printf '\\033[2J'; exit 1")), HasSubstr("\\x1b[2J"));
}

TEST_F(ProbeTest, ExecDoesNotWaitForWhatIsLeftBehind) {
  EXPECT_EQ(run(shell("sleep 1 & exit 0")), "success");
}

TEST_F(ProbeTest, ExecIsKilledInTime) {
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_THAT(run(command({"/bin/sleep", "100"}), milliseconds(50)),
              HasSubstr("did not end within 50 ms"));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  // The loop reaps it.
  int status = 0;
  while (waitpid(-1, &status, WNOHANG) == 0) ASSERT_TRUE(loop_.turn());
  EXPECT_EQ(waitpid(-1, &status, WNOHANG), -1);
}

TEST_F(ProbeTest, ExecThatIsGivenUpIsKilled) {
  auto running = start_action(command({"/bin/sleep", "100"}), milliseconds(100000), target_,
                              [](const Result<>&) { FAIL(); })
                     .value();
  const pid_t child = running->child();
  ASSERT_GT(child, 0);
  running.reset();
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED), 0);
  EXPECT_EQ(info.si_status, SIGKILL);
}

TEST_F(ProbeTest, ExecIsKilledWithWhatItHasStarted) {
  Pipe pipe = make_pipe().value();
  target_.exec = [&](const std::vector<std::string>& words, int out, int err) {
    return exec_with(words, out, err, pipe.write_end.get());
  };
  EXPECT_THAT(run(shell("sleep 100 & wait"), milliseconds(100)), HasSubstr("did not end"));
  // Its end of the pipe is closed when the last of them has ended.
  pollfd entry{.fd = pipe.read_end.get(), .events = POLLIN, .revents = 0};
  pipe.write_end.reset();
  EXPECT_EQ(poll(&entry, 1, 20000), 1);
  EXPECT_NE(entry.revents & POLLHUP, 0);
}

TEST_F(ProbeTest, ExecThatCannotBeginIsAnError) {
  target_.exec = [](auto&&...) -> Result<container::Started> {
    return fail(ErrorCode::kCommandNotFound, "no such command");
  };
  EXPECT_EQ(run(command({"/nowhere"})), "command \"/nowhere\": no such command");
}

TEST_F(ProbeTest, TcpConnects) {
  Server server([](int) {});
  EXPECT_EQ(run(on_port(Action::Kind::kTcp, server.port())), "success");
}

TEST_F(ProbeTest, TcpIsRefused) {
  uint16_t port = 0;
  {
    const UniqueFd listener = listen_on_loopback(port);
  }
  EXPECT_EQ(
      run(on_port(Action::Kind::kTcp, port)),
      fmt::format("connection to 127.0.0.1:{}: connect: Connection refused [ECONNREFUSED]", port));
}

TEST_F(ProbeTest, HostsAreAddresses) {
  Action action = on_port(Action::Kind::kTcp, 1);
  action.host = "db.example";
  EXPECT_THAT(run(action), HasSubstr("\"db.example\" is no IP address"));
}

TEST_F(ProbeTest, HttpStatusDecides) {
  EXPECT_EQ(get_from([](int c) { send_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); }),
            "success");
  EXPECT_EQ(get_from([](int c) { send_text(c, "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"); }),
            "success");
  EXPECT_THAT(get_from([](int c) { send_text(c, "HTTP/1.1 500 Oh\r\n\r\n"); }),
              AllOf(StartsWith("GET http://127.0.0.1:"), HasSubstr("/: status code 500")));
  EXPECT_THAT(get_from([](int c) { send_text(c, "HTTP/1.1 404 No\r\n\r\n"); }),
              HasSubstr("status code 404"));
}

TEST_F(ProbeTest, HttpFailsByGarbageResetAndSilence) {
  EXPECT_THAT(get_from([](int c) { send_text(c, "220 smtp.example ESMTP\r\n"); }),
              HasSubstr("the answer is no HTTP/1.1"));
  EXPECT_THAT(get_from([](int) {}), HasSubstr("closed without an answer"));
  EXPECT_THAT(get_from([](int c) {
                const linger reset{.l_onoff = 1, .l_linger = 0};
                (void)setsockopt(c, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
              }),
              HasSubstr("ECONNRESET"));
  EXPECT_THAT(get_from([](int c) { (void)receive_until(c, "never"); }, milliseconds(50)),
              HasSubstr("no answer within 50 ms"));
}

TEST_F(ProbeTest, HttpIsNotHeldBySlowOrEndlessServers) {
  EXPECT_THAT(get_from(
                  [](int c) {
                    (void)send_text(c, "HTTP/1.1 200 OK\r\n");
                    while (send_text(c, "a")) std::this_thread::sleep_for(milliseconds(5));
                  },
                  milliseconds(100)),
              HasSubstr("no answer within 100 ms"));
  EXPECT_THAT(get_from([](int c) {
                (void)send_text(c, "HTTP/1.1 200 OK\r\n");
                while (send_text(c, "X-Y: z\r\n")) {
                }
              }),
              HasSubstr("longer than 16384 bytes"));
  // The header is whole: the body has no say.
  EXPECT_EQ(get_from(
                [](int c) {
                  (void)send_text(c, "HTTP/1.1 200 OK\r\n\r\n");
                  while (send_text(c, "a")) std::this_thread::sleep_for(milliseconds(5));
                },
                milliseconds(100)),
            "success");
}

TEST_F(ProbeTest, GrpcAsksARealServer) {
  GrpcRequest request;
  Server server([&](int connection) { GrpcServerSession({}, request).serve(connection); });
  EXPECT_EQ(run(on_port(Action::Kind::kGrpc, server.port())), "success");
  EXPECT_EQ(request.path, "/grpc.health.v1.Health/Check");
}

TEST_F(ProbeTest, GrpcFailsByAnHttp1ServerAndByAnEnd) {
  {
    Server server([](int c) {
      (void)send_text(c, "HTTP/1.1 400 Bad Request\r\n\r\n");
      (void)receive_until(c, "never");
    });
    EXPECT_THAT(run(on_port(Action::Kind::kGrpc, server.port())), HasSubstr("HTTP/2"));
  }
  Server server([](int c) { (void)receive_until(c, "SM\r\n\r\n"); });
  EXPECT_THAT(run(on_port(Action::Kind::kGrpc, server.port())),
              AllOf(StartsWith("gRPC health check of 127.0.0.1:"),
                    AnyOf(HasSubstr("closed"), HasSubstr("ECONNRESET"))));
}

TEST_F(ProbeTest, SleepLasts) {
  Action action;
  action.kind = Action::Kind::kSleep;
  action.sleep_ms = 30;
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(run(action), "success");
  EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds(30));
}

// A network namespace of its own with a listener on its 127.0.0.1.
struct OtherNetwork {
  UniqueFd name_space;
  UniqueFd listener;
  uint16_t port = 0;

  OtherNetwork() {
    std::thread([this] {
      if (unshare(CLONE_NEWNET) != 0) return;
      const UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      ifreq request{.ifr_ifrn = {"lo"}};
      request.ifr_flags = IFF_UP;
      if (ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) return;
      listener = listen_on_loopback(port);
      name_space = open_file("/proc/thread-self/ns/net", O_RDONLY).value();
    }).join();
  }
};

TEST_F(ProbeTest, SocketsAreOfThePodsNetwork) {
  const OtherNetwork other;
  if (!other.name_space) GTEST_SKIP() << "needs the right to make network namespaces";
  const Action action = on_port(Action::Kind::kTcp, other.port);
  EXPECT_THAT(run(action), HasSubstr("ECONNREFUSED"));
  target_.network_namespace = other.name_space.get();
  EXPECT_EQ(run(action), "success");
  target_.network_namespace = -1;
  EXPECT_THAT(run(action), HasSubstr("ECONNREFUSED"));
}

// Outcomes come from files: the n-th run of the probe succeeds if the n-th letter is 'y'.
class ProbeLoopTest : public ProbeTest {
 protected:
  std::vector<std::string> watch(const std::string& outcomes, Probe probe,
                                 ProbeLoop::Repeat repeat = ProbeLoop::Repeat::kForever) {
    std::vector<std::string> changes;
    size_t runs = 0;
    target_.exec = [&](auto&&, int out, int err) {
      const bool good = runs < outcomes.size() && outcomes[runs] == 'y';
      if (++runs == outcomes.size()) {
        // Time for the last one to be counted, then for one that must not come.
        loop_.set_timer(Timer::kEnd, milliseconds(300), [this] { loop_.stop(); });
      }
      return exec_here({"/bin/sh", "-c", good ? "exit 0" : "echo bad; exit 1"}, out, err);
    };
    probe.action = command({"probe"});
    probe.period_ms = 1;
    const ProbeLoop loop(
        probe, target_, repeat, [&](ProbeLoop::State state, const std::string& why) {
          changes.push_back((state == ProbeLoop::State::kGood ? "good " : "bad ") +
                            std::to_string(runs) + (why.empty() ? "" : ": ") + why);
        });
    EXPECT_TRUE(loop_.run());
    runs_ = runs;
    return changes;
  }

  enum class Timer { kEnd, kPause };
  size_t runs_ = 0;
};

TEST_F(ProbeLoopTest, TellsWhenAThresholdIsCrossed) {
  EXPECT_THAT(watch("nynnnnyy", {.success_threshold = 2, .failure_threshold = 3}),
              ElementsAre("bad 5: command \"probe\": exited with code 1: bad", "good 8",
                          StartsWith("bad")));
}

TEST_F(ProbeLoopTest, FirstSuccessEndsAStartupProbe) {
  EXPECT_THAT(watch("nny", {.failure_threshold = 30}, ProbeLoop::Repeat::kUntilGood),
              ElementsAre("good 3"));
  EXPECT_EQ(runs_, 3U);
}

TEST_F(ProbeLoopTest, RestsWhileTheContainerIsPaused) {
  bool paused = false;
  target_.paused = [&] { return paused; };
  loop_.set_timer(Timer::kPause, milliseconds(30), [&] {
    paused = true;
    loop_.set_timer(Timer::kPause, milliseconds(150), [&] { paused = false; });
  });
  const auto begun = std::chrono::steady_clock::now();
  // Whatever runs when it is paused may fail: that is no news.
  const std::vector<std::string> changes = watch("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", {});
  EXPECT_EQ(changes.at(0), "good 1");
  EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds(180));
}

TEST_F(ProbeLoopTest, WaitsBeforeTheFirst) {
  const auto begun = std::chrono::steady_clock::now();
  (void)watch("y", {.initial_delay_ms = 100}, ProbeLoop::Repeat::kUntilGood);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds(100));
}

TEST_F(ProbeLoopTest, MayBeDeletedByItsListener) {
  std::unique_ptr<ProbeLoop> loop;
  int told = 0;
  loop = std::make_unique<ProbeLoop>(
      Probe{.action = shell("exit 1"), .period_ms = 1, .failure_threshold = 1}, target_,
      ProbeLoop::Repeat::kForever, [&](ProbeLoop::State state, const std::string&) {
        EXPECT_EQ(state, ProbeLoop::State::kBad);
        ++told;
        loop.reset();
        loop_.stop();
      });
  ASSERT_TRUE(loop_.run());
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace trivet::pod
