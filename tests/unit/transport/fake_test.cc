#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/process.h"
#include "trivet/transport.h"

namespace trivet {
namespace {

using testing::HasSubstr;

TEST(FakeTransport, AnswersInOrderAndRecordsWhatItWasAsked) {
  FakeTransport guest;
  guest.reply({.exit_code = 3, .stdout = "out", .stderr = "err"});
  guest.reply({.error = Error(ErrorCode::kNetwork, "gone")});
  guest.reply_to({"uname"}, {.stdout = "Linux\n"});

  const auto first = guest.run({.argv = {"a", "b"}, .env = {"X=1"}, .user = "root"}, "input");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->exit_code, 3);
  EXPECT_EQ(first->stdout, "out");
  EXPECT_EQ(first->stderr, "err");
  EXPECT_EQ(guest.run({.argv = {"c"}}).error().code(), ErrorCode::kNetwork);
  EXPECT_EQ(guest.run({.argv = {"uname"}})->stdout, "Linux\n");
  EXPECT_TRUE(guest.run({.argv = {"uname"}})->ok());
  EXPECT_TRUE(guest.run({.argv = {"whatever"}})->ok());
  EXPECT_EQ(*guest.login_command({"top"}), (std::vector<std::string>{"fake-login", "top"}));

  const auto calls = guest.calls();
  ASSERT_EQ(calls.size(), 6U);
  EXPECT_EQ(calls[0].command.argv, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(calls[0].command.env, (std::vector<std::string>{"X=1"}));
  EXPECT_EQ(calls[0].command.user, "root");
  EXPECT_EQ(calls[0].input, "input");
  EXPECT_EQ(calls[1].command.argv.front(), "c");
  EXPECT_TRUE(calls[5].login);
}

TEST(FakeTransport, ChecksTheInput) {
  FakeTransport guest;
  guest.reply({.input = "yes\n"});
  const auto wrong = guest.run({.argv = {"confirm"}}, "no\n");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(wrong.error().message(), HasSubstr("expected was \"yes"));
}

TEST(FakeTransport, UsesAllKindsOfStreams) {
  FakeTransport guest;
  const auto in = make_pipe();
  const auto out = make_pipe();
  ASSERT_TRUE(in && out);
  ASSERT_EQ(::write(in->write_end.get(), "abc", 3), 3);
  const_cast<UniqueFd&>(in->write_end).reset();
  guest.reply({.stdout = "def"});
  EXPECT_EQ(
      *guest.exec({.argv = {"x"}}, {.stdin = in->read_end.get(), .stdout = out->write_end.get()}),
      0);
  EXPECT_EQ(guest.calls().back().input, "abc");
  char buffer[4] = {};
  EXPECT_EQ(::read(out->read_end.get(), buffer, sizeof buffer), 3);
  EXPECT_STREQ(buffer, "def");

  int left = 3;
  const ByteSource source = [&left]() -> Result<std::optional<std::string>> {
    return left-- > 0 ? std::optional<std::string>("z") : std::nullopt;
  };
  EXPECT_TRUE(guest.exec({.argv = {"x"}}, {.stdin = source}));
  EXPECT_EQ(guest.calls().back().input, "zzz");
}

TEST(FakeTransport, KeepsToTheLimitOfOutputAndRefusesAnEmptyCommand) {
  FakeTransport guest;
  guest.reply({.stdout = "12345"});
  EXPECT_EQ(guest.run({.argv = {"x"}, .output_limit = 4}).error().code(),
            ErrorCode::kLimitExceeded);
  EXPECT_EQ(guest.run({}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(guest.calls().size(), 1U);
}

TEST(FakeTransport, MayBeUsedFromSeveralThreads) {
  FakeTransport guest;
  constexpr int kThreads = 4;
  constexpr int kEach = 100;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&guest] {
        for (int j = 0; j < kEach; ++j) EXPECT_TRUE(guest.run({.argv = {"x"}}));
      });
    }
  }
  EXPECT_EQ(guest.calls().size(), size_t{kThreads} * kEach);
}

}  // namespace
}  // namespace trivet
