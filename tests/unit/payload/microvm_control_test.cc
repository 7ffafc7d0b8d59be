// The control library against a peer in another thread.
#include <fcntl.h>
#include <sys/socket.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "payload/microvm/control.h"

namespace trivet::payload::microvm {
namespace {

using guest::Frame;
using guest::FrameType;
using std::chrono::milliseconds;

// The other end, which reads frames and answers as a test wants it.
class Peer {
 public:
  using Handler = std::function<std::string(const Frame&)>;  // what is sent back

  Peer(UniqueFd socket, Handler handler)
      : thread_([fd = std::move(socket), handler = std::move(handler)] { serve(fd, handler); }) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { thread_.join(); }

 private:
  static void serve(const UniqueFd& fd, const Handler& handler) {
    guest::FrameReader reader(guest::Direction::kToGuest);
    for (;;) {
      char* space = reader.space(4096);
      const ssize_t count = recv(fd.get(), space, reader.space_size(), 0);
      if (count <= 0) return;
      reader.added(static_cast<size_t>(count));
      for (auto frame = reader.next(); frame && *frame; frame = reader.next()) {
        const std::string answer = handler(**frame);
        if (!answer.empty() && send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
          return;
        }
      }
    }
  }
  std::thread thread_;
};

struct Ends {
  UniqueFd ours;
  UniqueFd theirs;
};

Ends make_ends() {
  std::array<int, 2> fds{-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  EXPECT_EQ(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
  return {.ours = UniqueFd(fds[0]), .theirs = UniqueFd(fds[1])};
}

TEST(Control, AsksAndIsAnswered) {
  Ends ends = make_ends();
  const Peer peer(std::move(ends.theirs), [](const Frame& frame) {
    const auto request = guest::parse_request(frame.payload);
    if (request->operation == "stats") {
      return guest::make_frame(FrameType::kAnswer, frame.session,
                               guest::print(guest::Stats{.memory_usage = 77, .pids = 3}));
    }
    if (request->operation == "processes") {
      return guest::make_frame(
          FrameType::kAnswer, frame.session,
          R"({"processes":[{"pid":7,"ppid":1,"uid":0,"time_ms":12,"state":"S","command":"sh"}]})");
    }
    return guest::make_frame(FrameType::kFailed, frame.session,
                             R"({"code":"unsupported","message":"not here"})");
  });
  Control control = Control::adopt(std::move(ends.ours));
  const auto stats = control.stats();
  ASSERT_TRUE(stats) << stats.error().message();
  EXPECT_EQ(stats->memory_usage, 77U);
  EXPECT_EQ(stats->pids, 3U);
  const auto processes = control.processes();
  ASSERT_TRUE(processes);
  ASSERT_EQ(processes->size(), 1U);
  EXPECT_EQ(processes->front().command, "sh");
  const auto frozen = control.freeze();
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), ErrorCode::kUnsupported);
}

TEST(Control, WaitsNotForEver) {
  Ends ends = make_ends();
  const Peer peer(std::move(ends.theirs), [](const Frame&) { return std::string(); });
  Control control = Control::adopt(std::move(ends.ours), milliseconds(50));
  const auto ping = control.ping();
  ASSERT_FALSE(ping);
  EXPECT_EQ(ping.error().code(), ErrorCode::kTimeout);
}

TEST(Control, NoticesTheMachinesEnd) {
  Ends ends = make_ends();
  Control control = Control::adopt(std::move(ends.ours));
  ends.theirs.reset();
  const auto ping = control.ping();
  ASSERT_FALSE(ping);
  EXPECT_EQ(ping.error().code(), ErrorCode::kNetwork);
}

TEST(Control, CopiesInWithinTheWindow) {
  Ends ends = make_ends();
  size_t received = 0;
  size_t open = 0;
  {
    const Peer peer(std::move(ends.theirs), [&](const Frame& frame) -> std::string {
      if (frame.type == FrameType::kStdinEof) {
        return guest::make_frame(FrameType::kDone, frame.session);
      }
      if (frame.type != FrameType::kStdin) return {};
      received += frame.payload.size();
      open += frame.payload.size();
      EXPECT_LE(open, guest::kStreamWindow);
      if (open < guest::kStreamWindow) return {};
      const auto credit = static_cast<uint32_t>(std::exchange(open, 0));
      return guest::make_credit(frame.session, FrameType::kStdin, credit);
    });
    Control control = Control::adopt(std::move(ends.ours));
    int left = 30;
    const auto copied = control.copy_in({.path = "/x"}, [&]() -> Result<std::string> {
      return left-- > 0 ? std::string(100'000, 'x') : std::string();
    });
    EXPECT_TRUE(copied) << copied.error().message();
  }
  EXPECT_EQ(received, 3'000'000U);
}

TEST(Control, CopiesOutAndGivesCredit) {
  Ends ends = make_ends();
  const Peer peer(std::move(ends.theirs), [](const Frame& frame) -> std::string {
    if (frame.type == FrameType::kCopyOut) {
      return guest::make_frame(FrameType::kStdout, frame.session, "abc");
    }
    EXPECT_EQ(guest::read_credit(frame.payload)->bytes, 3U);
    return guest::make_exit(frame.session, {.code = 0});
  });
  Control control = Control::adopt(std::move(ends.ours));
  std::string text;
  const auto copied = control.copy_out({.path = "/x"}, [&](std::string_view data) -> Result<> {
    text += data;
    return {};
  });
  EXPECT_TRUE(copied) << copied.error().message();
  EXPECT_EQ(text, "abc");
}

TEST(Control, AnErrorOfTheSourceAbandonsTheCopy) {
  Ends ends = make_ends();
  bool abandoned = false;
  {
    const Peer peer(std::move(ends.theirs), [&](const Frame& frame) {
      abandoned = abandoned || frame.type == FrameType::kAbandon;
      return std::string();
    });
    Control control = Control::adopt(std::move(ends.ours));
    const auto copied = control.copy_in({.path = "/x"}, [&]() -> Result<std::string> {
      return fail(ErrorCode::kNotFound, "gone");
    });
    ASSERT_FALSE(copied);
    EXPECT_EQ(copied.error().code(), ErrorCode::kNotFound);
  }
  EXPECT_TRUE(abandoned);
}

}  // namespace
}  // namespace trivet::payload::microvm
