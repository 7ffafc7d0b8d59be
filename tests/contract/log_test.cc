// Logs: once, followed, and waited for.
#include <thread>

#include "contract.h"

namespace trivet::contract {

namespace {

std::vector<std::string> texts(LogStream& stream) {
  std::vector<std::string> list;
  for (const LogLine& line : stream) list.push_back(line.text);
  EXPECT_FALSE(stream.error());
  return list;
}

class ContractLog : public Contract {
 protected:
  // One that has said three lines and ended.
  void make_ended() {
    will_when_started("ended", {.logs = {"one", "two", "three"}, .exit_code = 0});
    const auto box =
        runtime.run(options("ended", {"echo", "one", ",", "echo", "two", ",", "echo", "three"}));
    ASSERT_OK(box);
    ASSERT_OK(box->wait(30s * bench().patience));
  }
  // One that has said "up" and goes on.
  void make_running() {
    will_when_started("going", {.logs = {"up"}, .exit_code = {}});
    const auto box = run_waiting("going");
    ASSERT_OK(box);
    EXPECT_EQ(box->stream_initial_logs([](const LogLine& line) { return line.text == "up"; },
                                       30s * bench().patience),
              true);
  }
};

TEST_F(ContractLog, AllOrTheLastLines) {
  make_ended();
  const Container box = runtime.container("ended");
  auto all = box.logs();
  ASSERT_OK(all);
  EXPECT_EQ(texts(*all), (std::vector<std::string>{"one", "two", "three"}));
  auto tail = box.logs({.tail = 2});
  ASSERT_OK(tail);
  EXPECT_EQ(texts(*tail), (std::vector<std::string>{"two", "three"}));
  auto followed = box.logs({.follow = true});
  ASSERT_OK(followed);
  EXPECT_EQ(texts(*followed).size(), 3U) << "following ends with the container";
}

TEST_F(ContractLog, FollowingCanWaitAndStop) {
  make_running();
  std::stop_source source;
  auto log = runtime.container("going").logs({.follow = true, .stop = source.get_token()});
  ASSERT_OK(log);
  const auto first = log->next(30s * bench().patience);
  ASSERT_OK(first);
  EXPECT_EQ((*first)->text, "up");
  EXPECT_CODE(kTimeout, log->next(10ms));
  std::jthread other([&] {
    std::this_thread::sleep_for(50ms);
    source.request_stop();
  });
  const auto last = log->next();
  ASSERT_OK(last);
  EXPECT_FALSE(*last);
}

TEST_F(ContractLog, AStreamCanBeDroppedWhileItIsFollowed) {
  make_running();
  auto log = runtime.container("going").logs({.follow = true});
  ASSERT_OK(log);
}

TEST_F(ContractLog, FollowingEndsWithTheContainer) {
  make_running();
  const Container box = runtime.container("going");
  auto log = box.logs({.follow = true});
  ASSERT_OK(log);
  std::jthread other([&] {
    std::this_thread::sleep_for(50ms);
    EXPECT_TRUE(box.stop(0s));
  });
  EXPECT_EQ(texts(*log), (std::vector<std::string>{"up"}));
}

TEST_F(ContractLog, ReadinessIsWaitedFor) {
  make_running();
  const Container box = runtime.container("going");
  const auto is = [](const char* text) {
    return [text](const LogLine& line) { return line.text == text; };
  };
  EXPECT_EQ(box.stream_initial_logs(is("up"), 30s * bench().patience), true);
  EXPECT_EQ(box.stream_initial_logs(is("never"), 50ms), false);
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(box.stream_initial_logs(is("never"), 60s, source.get_token()), false);
}

TEST_F(ContractLog, WhatHasEndedDoesNotGetReady) {
  make_ended();
  EXPECT_EQ(
      runtime.container("ended").stream_initial_logs([](const LogLine&) { return false; }, 60s),
      false);
}

}  // namespace

}  // namespace trivet::contract
