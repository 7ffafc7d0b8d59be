#include "monitor/attach.h"

#include <array>
#include <fcntl.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "monitor/client.h"
#include "monitor/start_request.h"

namespace trivet::monitor {
namespace {

using testing::HasSubstr;

TEST(Frames, CarryTheirPayload) {
  const auto data = parse_frame(make_frame(Frame::kStdin, std::string_view("a\0b", 3)));
  ASSERT_TRUE(data);
  const std::string frame = make_frame(Frame::kStdin, std::string_view("a\0b", 3));
  EXPECT_EQ(parse_frame(frame)->type, Frame::kStdin);
  EXPECT_EQ(parse_frame(frame)->payload, std::string_view("a\0b", 3));
  const std::string number = make_frame(Frame::kExit, 137);
  EXPECT_EQ(read_number(parse_frame(number)->payload).value(), 137);
  const std::string size = make_frame(WindowSize{.rows = 24, .columns = 80});
  EXPECT_EQ(read_window_size(parse_frame(size)->payload).value(),
            (WindowSize{.rows = 24, .columns = 80}));
  const std::string stop = make_frame(StopRequest{.signal = 15, .grace_ms = 1LL << 40});
  EXPECT_EQ(read_stop_request(parse_frame(stop)->payload).value(),
            (StopRequest{.signal = 15, .grace_ms = 1LL << 40}));
}

TEST(Frames, AStartRequestComesBack) {
  const StartRequest request{
      .foreground = true, .remove = true, .name = "n", .timeout_ms = 1LL << 40};
  const std::string frame = make_frame(request);
  EXPECT_EQ(parse_frame(frame)->type, kStart);
  EXPECT_EQ(parse_start_request(parse_frame(frame)->payload).value(), request);
  for (const char* text : {"", "{", "[]", R"({"remove": 1})", R"({"timeoutMs": "1"})"}) {
    EXPECT_FALSE(parse_start_request(text)) << text;
  }
}

TEST(Frames, RefuseMalformedOnes) {
  EXPECT_FALSE(parse_frame(""));
  EXPECT_FALSE(read_number("abc"));
  EXPECT_FALSE(read_number("abcde"));
  EXPECT_FALSE(read_window_size(""));
  for (const char* text : {"", "abc", "abcd", "abcdefghijk", "abcdefghijklm"}) {
    EXPECT_FALSE(read_stop_request(text)) << text;
  }
}

TEST(Frames, CarryErrors) {
  const Error error = Error(ErrorCode::kCommandNotFound, "no \"x\"").hint("try y");
  const std::string frame = make_frame(error);
  const Error back = read_error(parse_frame(frame)->payload);
  EXPECT_EQ(back.code(), ErrorCode::kCommandNotFound);
  EXPECT_EQ(back.message(), "no \"x\"");
  EXPECT_EQ(back.hint_text(), "try y");
  EXPECT_EQ(exit_code_for(back), 127);
  EXPECT_EQ(exit_code_for(Error(ErrorCode::kCommandNotExecutable, "")), 126);
  EXPECT_EQ(exit_code_for(Error(ErrorCode::kNetwork, "")), 125);
  EXPECT_FALSE(read_error("nonsense").message().empty());
}

TEST(SyncLine, SaysThePidOrTheError) {
  EXPECT_EQ(parse_started(print_started(42)).value(), 42);
  const auto failed = parse_started(print_start_failure(Error(ErrorCode::kNotFound, "gone")));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(parse_started("").error().message(), HasSubstr("monitor ended"));
  EXPECT_FALSE(parse_started("{"));
}

class Sockets : public testing::Test {
 protected:
  void SetUp() override {
    std::array<char, 40> name{"/tmp/trivet-attach-test-XXXXXX"};
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directories_.state = name.data();
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, directories_.state); }
  Directories directories_;
};

TEST_F(Sockets, WorkInDirectoriesOfAnyLength) {
  const std::string id(128, 'i');
  EXPECT_EQ(connect_to_monitor(directories_, id).error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(make_dirs(directories_.runtime(id)));
  EXPECT_EQ(connect_to_monitor(directories_, id).error().code(), ErrorCode::kNotFound);
  auto listener = listen_for_clients(directories_.runtime(id));
  ASSERT_TRUE(listener);
  EXPECT_TRUE(connect_to_monitor(directories_, id));
  listener->reset();
  EXPECT_EQ(connect_to_monitor(directories_, id).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(listen_for_clients(directories_.runtime(id))) << "a dead monitor's socket stays";
}

TEST(Clients, KeepFramesInOrderWhenTheyWait) {
  AttachPair pair = make_attach_pair().value();
  Client client(std::move(pair.monitor), Client::Kind::kForeground);
  const std::string block(60000, 'b');
  int sent = 0;
  for (; !client.waiting(); ++sent) ASSERT_TRUE(client.send(make_frame(Frame::kStdout, block)));
  for (int i = 0; i < 40; ++i, ++sent) ASSERT_TRUE(client.send(make_frame(Frame::kStdout, block)));
  ASSERT_TRUE(client.send(make_frame(Frame::kExit, 7)));
  std::string buffer(kMaxFrame, '\0');
  for (int i = 0; i < sent; ++i) {
    const auto message = receive_frame(pair.client.get(), buffer.data(), buffer.size());
    ASSERT_TRUE(message && *message);
    ASSERT_EQ((*message)->payload.size(), block.size());
    client.flush();
  }
  EXPECT_EQ((*receive_frame(pair.client.get(), buffer.data(), buffer.size()))->type, Frame::kExit);
  pair.client.reset();
  EXPECT_TRUE(client.send(make_frame(Frame::kDone))) << "it may have said something before it went";
  EXPECT_FALSE(client.waiting());
}

// The kernel reports a reset before what is left to be received when frames of ours stay unread.
TEST(Clients, HearsTheLastWordOfAMonitorThatLeftSomethingUnread) {
  AttachPair pair = make_attach_pair().value();
  ASSERT_TRUE(send_frame(pair.client.get(), make_frame(Frame::kStdin, "too late")));
  ASSERT_TRUE(send_frame(pair.monitor.get(), make_frame(Frame::kStdout, "out")));
  ASSERT_TRUE(send_frame(pair.monitor.get(), make_frame(Frame::kExit, 152)));
  pair.monitor.reset();
  std::string buffer(kMaxFrame, '\0');
  const auto receive = [&] {
    return receive_frame(pair.client.get(), buffer.data(), buffer.size()).value();
  };
  EXPECT_EQ(receive()->payload, "out");
  EXPECT_EQ(receive()->type, Frame::kExit);
  EXPECT_FALSE(receive());
}

TEST(Clients, DropsASlowOneUnlessItIsTheForeground) {
  AttachPair pair = make_attach_pair().value();
  Client client(std::move(pair.monitor), Client::Kind::kConnected);
  const std::string frame = make_frame(Frame::kStdout, std::string(60000, 'b'));
  int sent = 0;
  while (client.send(frame)) ASSERT_LT(++sent, 100);
  EXPECT_GT(sent * frame.size(), Client::kMaxQueued / 2);
}

}  // namespace
}  // namespace trivet::monitor
