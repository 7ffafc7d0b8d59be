// Streams and connections over real pipes and sockets, on a loop.
#include <array>
#include <csignal>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/process.h"
#include "container/stage/plan.h"
#include "vmm/connection.h"
#include "vmm/engine.h"
#include "vmm/stdio.h"
#include "vmm/words.h"

namespace trivet::vmm {
namespace {

using guest::Frame;
using guest::FrameType;
using std::chrono::milliseconds;

enum class Timer { kEnd };

// Runs the loop until `done` says so, or for five seconds.
void run_until(EventLoop& loop, const std::function<bool()>& done) {
  for (int turn = 0; turn < 500 && !done(); ++turn) {
    loop.set_timer(Timer::kEnd, milliseconds(10), [&] { loop.stop(); });
    ASSERT_TRUE(loop.run());
  }
  EXPECT_TRUE(done());
}

struct Ends {
  UniqueFd ours;
  UniqueFd theirs;
};

Ends make_ends(int type) {
  std::array<int, 2> fds{-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {.ours = UniqueFd(fds[0]), .theirs = UniqueFd(fds[1])};
}

TEST(OutputStream, NeverWaitsAndLosesNothing) {
  EventLoop loop = std::move(*EventLoop::create());
  Pipe pipe = std::move(*make_pipe());
  size_t taken = 0;
  OutputStream output(loop, pipe.write_end.get(), [&](size_t bytes) { taken += bytes; });
  const std::string data(300'000, 'x');
  output.add(data);
  EXPECT_LT(taken, data.size());
  EXPECT_EQ(output.pending(), data.size() - taken);
  // The description is others' too: it still waits.
  EXPECT_EQ(fcntl(pipe.write_end.get(), F_GETFL) & O_NONBLOCK, 0);
  std::string received;
  ASSERT_EQ(fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK), 0);
  run_until(loop, [&] {
    std::array<char, 65536> buffer{};
    const ssize_t count = read(pipe.read_end.get(), buffer.data(), buffer.size());
    if (count > 0) received.append(buffer.data(), static_cast<size_t>(count));
    return received.size() == data.size();
  });
  EXPECT_EQ(taken, data.size());
  EXPECT_EQ(output.pending(), 0U);
}

TEST(OutputStream, WithoutAReaderEverythingIsDropped) {
  std::signal(SIGPIPE, SIG_IGN);
  EventLoop loop = std::move(*EventLoop::create());
  Pipe pipe = std::move(*make_pipe());
  size_t taken = 0;
  OutputStream output(loop, pipe.write_end.get(), [&](size_t bytes) { taken += bytes; });
  pipe.read_end.reset();
  output.add("lost");
  EXPECT_TRUE(output.is_broken());
  EXPECT_EQ(taken, 4U);
}

TEST(InputStream, SendsAsMuchAsThereIsRoomForAndThenTheEnd) {
  EventLoop loop = std::move(*EventLoop::create());
  for (const bool is_file : {false, true}) {
    const std::string data(5000, 'x');
    Pipe pipe = std::move(*make_pipe());
    int source = pipe.read_end.get();
    UniqueFd file;
    if (is_file) {
      file = UniqueFd(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
      source = file.get();
    }
    ASSERT_EQ(write(is_file ? source : pipe.write_end.get(), data.data(), data.size()), 5000);
    if (is_file) ASSERT_EQ(lseek(source, 0, SEEK_SET), 0);
    pipe.write_end.reset();
    size_t received = 0;
    bool ended = false;
    InputStream input(loop, source, 1000,
                      {.on_data = [&](std::string_view part) { received += part.size(); },
                       .on_end = [&] { ended = true; }});
    input.start();
    run_until(loop, [&] { return received == 1000; });
    EXPECT_FALSE(ended);
    EXPECT_FALSE(input.credit(1001));
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(input.credit(500));
      run_until(loop, [&] { return received == std::min<size_t>(1500 + 500U * i, 5000); });
    }
    run_until(loop, [&] { return ended; });
  }
}

TEST(Connection, CarriesFramesBothWays) {
  EventLoop loop = std::move(*EventLoop::create());
  Ends ends = make_ends(SOCK_STREAM);
  Connection guest_end(loop, std::move(ends.ours), guest::Direction::kToGuest);
  Connection host_end(loop, std::move(ends.theirs), guest::Direction::kToHost);
  std::string heard;
  ASSERT_TRUE(guest_end.open({.on_frame = [&](const Frame& frame) -> Result<> {
                                guest_end.send(FrameType::kStdout, frame.session, frame.payload);
                                return {};
                              },
                              .on_end = [](const Error&) {},
                              .on_drained = nullptr}));
  ASSERT_TRUE(host_end.open({.on_frame = [&](const Frame& frame) -> Result<> {
                               heard += frame.payload;
                               return {};
                             },
                             .on_end = [](const Error&) {},
                             .on_drained = nullptr}));
  const std::string data(guest::kMaxData, 'd');
  for (int i = 0; i < 40; ++i) host_end.send(FrameType::kStdin, 2, data);
  EXPECT_GT(host_end.pending(), 0U);
  run_until(loop, [&] { return heard.size() == 40 * data.size(); });
  EXPECT_EQ(host_end.pending(), 0U);
}

TEST(Connection, MalformedInputAndTheEndAreToldApart) {
  EventLoop loop = std::move(*EventLoop::create());
  for (const bool malformed : {true, false}) {
    Ends ends = make_ends(SOCK_STREAM);
    Connection connection(loop, std::move(ends.ours), guest::Direction::kToHost);
    std::optional<ErrorCode> code;
    ASSERT_TRUE(connection.open({.on_frame = [](const Frame&) -> Result<> { return {}; },
                                 .on_end = [&](const Error& error) { code = error.code(); },
                                 .on_drained = nullptr}));
    if (malformed) ASSERT_EQ(write(ends.theirs.get(), "nonsense nonsense", 17), 17);
    if (!malformed) ends.theirs.reset();
    run_until(loop, [&] { return code.has_value(); });
    EXPECT_EQ(code, malformed ? ErrorCode::kCorrupt : ErrorCode::kNetwork);
    EXPECT_FALSE(connection.is_open());
  }
}

TEST(Connection, WhatIsHeldWaits) {
  EventLoop loop = std::move(*EventLoop::create());
  Ends ends = make_ends(SOCK_STREAM);
  Connection connection(loop, std::move(ends.ours), guest::Direction::kToHost);
  int frames = 0;
  ASSERT_TRUE(connection.open({.on_frame = [&](const Frame&) -> Result<> {
                                 ++frames;
                                 return {};
                               },
                               .on_end = [](const Error&) {},
                               .on_drained = nullptr}));
  connection.hold(true);
  const std::string frame = guest::make_frame(FrameType::kAwake, 0);
  ASSERT_EQ(write(ends.theirs.get(), frame.data(), frame.size()),
            static_cast<ssize_t>(frame.size()));
  loop.set_timer(Timer::kEnd, milliseconds(30), [&] { loop.stop(); });
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(frames, 0);
  connection.hold(false);
  run_until(loop, [&] { return frames == 1; });
}

// ---- the engine's conversation

void say(const UniqueFd& fd, stage::MessageKind kind) {
  const stage::Message message{.kind = kind};
  ASSERT_EQ(send(fd.get(), &message, sizeof message, 0), static_cast<ssize_t>(sizeof message));
}

TEST(Engine, ACreatorThatGoesBeforeItKeptUsEndsIt) {
  EventLoop loop = std::move(*EventLoop::create());
  for (const bool ready : {false, true}) {
    Ends ends = make_ends(SOCK_SEQPACKET);
    Engine engine(loop, ends.ours.release(), -1);
    bool abandoned = false;
    ASSERT_TRUE(engine.open({.on_go = [] { FAIL(); }, .on_abandoned = [&] { abandoned = true; }}));
    if (ready) engine.say_ready();
    ends.theirs.reset();
    run_until(loop, [&] { return abandoned; });
  }
}

TEST(Engine, GoesWhenItIsTold) {
  EventLoop loop = std::move(*EventLoop::create());
  Ends ends = make_ends(SOCK_SEQPACKET);
  Engine engine(loop, ends.ours.release(), -1);
  bool went = false;
  ASSERT_TRUE(engine.open({.on_go = [&] { went = true; }, .on_abandoned = [] { FAIL(); }}));
  engine.say_ready();
  stage::Message message{};
  ASSERT_EQ(recv(ends.theirs.get(), &message, sizeof message, 0),
            static_cast<ssize_t>(sizeof message));
  EXPECT_EQ(message.kind, stage::MessageKind::kReady);
  say(ends.theirs, stage::MessageKind::kGo);
  run_until(loop, [&] { return went; });
  engine.close();
  EXPECT_EQ(recv(ends.theirs.get(), &message, sizeof message, 0), 0);
}

TEST(Engine, WithoutOneTheProgramStartsByItself) {
  EventLoop loop = std::move(*EventLoop::create());
  Engine engine(loop, -1, -1);
  bool went = false;
  ASSERT_TRUE(engine.open({.on_go = [&] { went = true; }, .on_abandoned = [] { FAIL(); }}));
  engine.say_ready();
  EXPECT_TRUE(went);
}

// ---- words

TEST(Tail, FindsThePanicAndTheLastLine) {
  Tail tail;
  tail.add("[    1.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0b\r\n");
  tail.add("[    1.1] CPU: 0 PID: 1\x1b[0m\n\n");
  EXPECT_EQ(tail.find_panic(), "Attempted to kill init! exitcode=0x0b");
  EXPECT_EQ(tail.last_line(), "[    1.1] CPU: 0 PID: 1[0m");
  tail.add(std::string(100'000, 'x'));
  EXPECT_LE(tail.text().size(), 8192U);
  EXPECT_LE(tail.last_line().size(), 400U);
  EXPECT_EQ(Tail().last_line(), "");
}

}  // namespace
}  // namespace trivet::vmm
