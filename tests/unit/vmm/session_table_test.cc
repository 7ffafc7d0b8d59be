#include "vmm/session_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::vmm {
namespace {

using guest::Frame;
using guest::FrameType;

class SessionTableTest : public testing::Test {
 protected:
  // The guest's number of a session that a client begins.
  uint32_t begin(uint32_t client, uint32_t session, FrameType kind) {
    const auto number = table_.from_client(client, {.type = kind, .session = session});
    EXPECT_TRUE(number && *number);
    return number && *number ? **number : 0;
  }
  static Frame frame(FrameType type, uint32_t session, std::string_view payload = {}) {
    return {.type = type, .session = session, .payload = payload};
  }
  // A credit's payload.
  std::string_view credit(FrameType stream, uint32_t bytes) {
    credit_ = guest::make_credit(0, stream, bytes).substr(guest::kHeaderSize);
    return credit_;
  }
  void expect_corrupt(const auto& result) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kCorrupt);
  }

  SessionTable table_;
  std::string credit_;
};

TEST_F(SessionTableTest, ClientsWithTheSameNumberHaveDifferentOnesInTheGuest) {
  const uint32_t a = begin(1, 2, FrameType::kExec);
  const uint32_t b = begin(2, 2, FrameType::kExec);
  EXPECT_NE(a, b);
  EXPECT_GE(a, guest::kFirstRequestSession);
  const auto target = table_.from_guest(frame(FrameType::kStdout, b, "x"));
  ASSERT_TRUE(target);
  EXPECT_EQ(target->client, 2U);
  EXPECT_EQ(target->session, 2U);
  EXPECT_FALSE(target->ended);
}

TEST_F(SessionTableTest, ASessionEndsOnce) {
  const uint32_t exec = begin(1, 2, FrameType::kExec);
  EXPECT_FALSE(table_.from_guest(frame(FrameType::kDone, exec))->ended);
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kExit, exec, std::string_view("\0\0", 2)))->ended);
  expect_corrupt(table_.from_guest(frame(FrameType::kStdout, exec)));
  // What the client sent before it knew comes too late, and may not hit a later session.
  EXPECT_EQ(*table_.from_client(1, frame(FrameType::kStdin, 2, "x")), std::nullopt);
  EXPECT_NE(begin(1, 2, FrameType::kRequest), exec);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(SessionTableTest, AContainerIsMadeThenStartedThenEnds) {
  const uint32_t own = begin(1, 2, FrameType::kCreate);
  EXPECT_FALSE(table_.from_guest(frame(FrameType::kDone, own))->ended);
  EXPECT_EQ(*table_.from_client(1, frame(FrameType::kStart, 2)), own);
  EXPECT_FALSE(table_.from_guest(frame(FrameType::kDone, own))->ended);
  EXPECT_EQ(*table_.from_client(1, frame(FrameType::kSignal, 2)), own);
  EXPECT_EQ(*table_.from_client(1, frame(FrameType::kStdin, 2, "x")), own);
  EXPECT_FALSE(table_.from_guest(frame(FrameType::kStderr, own, "x"))->ended);
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kExit, own, std::string_view("\0\0", 2)))->ended);
  const uint32_t refused = begin(1, 3, FrameType::kCreate);
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kFailed, refused, "{}"))->ended);
}

TEST_F(SessionTableTest, AConnectionHasBothDirections) {
  const uint32_t number = begin(1, 2, FrameType::kConnect);
  EXPECT_FALSE(table_.from_guest(frame(FrameType::kDone, number))->ended);
  EXPECT_EQ(*table_.from_client(1, frame(FrameType::kStdin, 2, "x")), number);
  EXPECT_FALSE(table_.from_guest(frame(FrameType::kStdout, number, "x"))->ended);
  EXPECT_THAT(table_.drop_client(1), testing::ElementsAre(number));
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kFailed, number, "{}"))->ended);
}

TEST_F(SessionTableTest, OnlyAContainerIsStarted) {
  begin(1, 2, FrameType::kExec);
  expect_corrupt(table_.from_client(1, frame(FrameType::kStart, 2)));
}

TEST_F(SessionTableTest, NumbersBeginWhereTheirOwnerWants) {
  SessionTable table(7);
  const auto first = table.from_client(1, frame(FrameType::kExec, 2));
  ASSERT_TRUE(first && *first);
  EXPECT_EQ(**first, 7U);
}

TEST_F(SessionTableTest, EachKindHasItsFrames) {
  const uint32_t request = begin(1, 2, FrameType::kRequest);
  expect_corrupt(table_.from_guest(frame(FrameType::kStdout, request, "x")));
  expect_corrupt(table_.from_guest(frame(FrameType::kDone, request)));
  expect_corrupt(table_.from_client(1, frame(FrameType::kStdin, 2, "x")));
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kAnswer, request, "{}"))->ended);
  const uint32_t copy = begin(1, 3, FrameType::kCopyIn);
  expect_corrupt(table_.from_guest(frame(FrameType::kStdout, copy, "x")));
  expect_corrupt(table_.from_client(1, frame(FrameType::kSignal, 3)));
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kDone, copy))->ended);
  const uint32_t out = begin(1, 4, FrameType::kCopyOut);
  expect_corrupt(table_.from_guest(frame(FrameType::kStderr, out, "x")));
  expect_corrupt(table_.from_guest(frame(FrameType::kAnswer, out, "x")));
}

TEST_F(SessionTableTest, SessionsOfOthersAreOutOfReach) {
  begin(1, 2, FrameType::kExec);
  EXPECT_EQ(*table_.from_client(2, frame(FrameType::kSignal, 2)), std::nullopt);
  expect_corrupt(table_.from_client(2, frame(FrameType::kSignal, guest::kInitSession)));
  expect_corrupt(table_.from_client(2, frame(FrameType::kStdin, guest::kAgentSession)));
  expect_corrupt(table_.from_client(1, frame(FrameType::kExec, 2)));
}

TEST_F(SessionTableTest, NobodySendsMoreThanTheWindow) {
  const uint32_t exec = begin(1, 2, FrameType::kExec);
  const std::string data(guest::kMaxData, 'x');
  for (size_t sent = 0; sent < guest::kStreamWindow; sent += data.size()) {
    EXPECT_TRUE(table_.from_guest(frame(FrameType::kStdout, exec, data)));
    EXPECT_TRUE(table_.from_client(1, frame(FrameType::kStdin, 2, data)));
  }
  EXPECT_TRUE(table_.from_client(1, frame(FrameType::kCredit, 2, credit(FrameType::kStdout, 1))));
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kStdout, exec, "x")));
  expect_corrupt(table_.from_guest(frame(FrameType::kStdout, exec, "x")));
  expect_corrupt(table_.from_client(1, frame(FrameType::kStdin, 2, "x")));
}

TEST_F(SessionTableTest, NobodyGivesCreditForWhatWasNotSent) {
  const uint32_t exec = begin(1, 2, FrameType::kExec);
  expect_corrupt(
      table_.from_client(1, frame(FrameType::kCredit, 2, credit(FrameType::kStdout, 1))));
  expect_corrupt(table_.from_client(1, frame(FrameType::kCredit, 2, credit(FrameType::kStdin, 0))));
  expect_corrupt(table_.from_guest(frame(FrameType::kCredit, exec, credit(FrameType::kStdin, 1))));
  expect_corrupt(table_.from_guest(frame(FrameType::kCredit, exec, "short")));
}

TEST_F(SessionTableTest, WhatAClientLeavesStaysUntilTheGuestEndsIt) {
  const uint32_t exec = begin(1, 2, FrameType::kExec);
  begin(2, 2, FrameType::kExec);
  EXPECT_THAT(table_.drop_client(1), testing::ElementsAre(exec));
  const std::string data(guest::kMaxData, 'x');
  // Nobody takes it, and it does not add up.
  for (int i = 0; i < 100; ++i) {
    const auto target = table_.from_guest(frame(FrameType::kStdout, exec, data));
    ASSERT_TRUE(target);
    EXPECT_FALSE(target->client);
  }
  EXPECT_EQ(table_.size(), 2U);
  EXPECT_TRUE(table_.from_guest(frame(FrameType::kFailed, exec, "{}"))->ended);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(SessionTableTest, ThereIsALimit) {
  uint32_t session = guest::kFirstRequestSession;
  while (session < guest::kMaxSessions) begin(1, session++, FrameType::kExec);
  const auto refused = table_.from_client(1, frame(FrameType::kExec, session));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace trivet::vmm
