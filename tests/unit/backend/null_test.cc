// What NullRuntime says when the program under test does something else than the script.
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trivet/null_runtime.h"
#include "trivet/runtime.h"

namespace trivet {

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Null : public testing::Test {
 protected:
  Null() {
    ContainerInfo info;
    info.name = "web";
    info.status = ContainerStatus::kRunning;
    null->add_container(info);
  }

  Result<int> exec(std::vector<std::string> argv, const std::string& input) {
    return runtime.exec_stdio(web, {.argv = std::move(argv)},
                              {.stdin = input, .stdout = {}, .stderr = {}});
  }

  // The error of verify(), which must fail.
  std::string complaint() {
    const auto verified = null->verify();
    return verified ? "" : verified.error().message();
  }

  std::shared_ptr<NullRuntime> null = std::make_shared<NullRuntime>();
  Runtime runtime{null};
  Container web = runtime.container("web");
};

TEST_F(Null, InputThatDiffersIsShownWhereItDiffers) {
  null->on_exec("web", {"cat"}, ExecScript().prints("> ").reads("hello world"));
  const auto done = exec({"cat"}, "hello wurld");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(done.error().message(),
              HasSubstr("exec web cat: step 2: its input differs at byte 7"));
  EXPECT_THAT(done.error().message(), HasSubstr("expected \"hello world\", got \"hello wurld\""));
  EXPECT_THAT(complaint(), HasSubstr("differs at byte 7")) << "also when the error was swallowed";
}

TEST_F(Null, InputThatEndsTooEarly) {
  null->on_exec("web", {"cat"}, ExecScript().reads("abcdef"));
  ASSERT_FALSE(exec({"cat"}, "abc"));
  EXPECT_THAT(complaint(), HasSubstr("ends after 3 bytes, expected were 6: \"abcdef\""));
}

TEST_F(Null, InputThatDoesNotEnd) {
  null->on_exec("web", {"cat"}, ExecScript().reads("abc").reads_end());
  ASSERT_FALSE(exec({"cat"}, "abcd"));
  EXPECT_THAT(complaint(), HasSubstr("step 2: its input has not ended: next is \"d\""));
}

TEST_F(Null, InputThatIsNotSentInTime) {
  null->on_exec("web", {"cat"}, ExecScript().reads("abc"));
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  const auto done = runtime.exec_stdio(web, ExecCommand{.argv = {"cat"}, .timeout = 20ms},
                                       {.stdin = ends[0], .stdout = {}, .stderr = {}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kTimeout);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(Null, AnEnvironmentThatLacksSomething) {
  null->on_exec("web", {"env"}, ExecScript().needs_env({"A=1"}));
  ASSERT_FALSE(runtime.exec(web, ExecCommand{.argv = {"env"}, .env = {"A=2"}}));
  EXPECT_THAT(complaint(), HasSubstr("lacks \"A=1\": it is [A=2]"));
}

TEST_F(Null, ACommandWithoutAScriptSaysWhichThereAre) {
  null->on_exec("web", {"ls", "-l"}, ExecScript());
  const auto done = runtime.exec(web, {"ls", "-a"});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(done.error().message(), HasSubstr("[\"ls\", \"-a\"]: nothing is scripted"));
  EXPECT_THAT(done.error().message(), HasSubstr("[\"ls\", \"-l\"]"));
}

TEST_F(Null, WhatWasScriptedMustBeUsed) {
  null->on_exec("web", {"once"}, ExecScript());
  null->fail_next(NullRuntime::Operation::kStart, Error(ErrorCode::kNetwork, "gone"));
  EXPECT_THAT(complaint(), HasSubstr("exec web once: was not called"));
  EXPECT_THAT(complaint(), HasSubstr("start: was to fail, but was not called"));
}

TEST_F(Null, EachScriptIsForOneCallUnlessItRepeats) {
  null->on_exec("web", {"n"}, ExecScript().prints("1"));
  null->on_exec("web", {"n"}, ExecScript().prints("2").repeats());
  for (const char* expected : {"1", "2", "2"}) {
    const auto done = runtime.exec(web, {"n"});
    ASSERT_TRUE(done);
    EXPECT_EQ(done->stdout, expected);
  }
  EXPECT_TRUE(null->verify());
}

TEST_F(Null, ACommandThatHangsDoesNotHangTheTest) {
  null->on_exec("web", {"sleep"}, ExecScript().hangs().repeats());
  const auto begin = std::chrono::steady_clock::now();
  const auto late = runtime.exec(web, {"sleep"}, 1h);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
  EXPECT_FALSE(runtime.exec(web, {"sleep"})) << "it would hang for ever";
  EXPECT_THAT(complaint(), HasSubstr("it has neither a timeout nor a stop"));
}

TEST_F(Null, CallsAreRecordedAndCompared) {
  null->add_image({.names = {"docker.io/library/alpine:latest"}});
  RunOptions options;
  options.image = "alpine";
  options.name = "box";
  options.command = {"sleep", "9"};
  options.memory = 1 << 20;
  ASSERT_TRUE(runtime.run(options));
  ASSERT_TRUE(runtime.container("box").running());
  ASSERT_TRUE(runtime.container("box").stop());
  EXPECT_TRUE(null->check_calls({"run box sleep 9", "stop box 10"}));
  const auto wrong = null->check_calls({"run box sleep 9", "stop box 5"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message(), "call 2: expected `stop box 5`, got `stop box 10`");
  const auto less = null->check_calls({"run box sleep 9"});
  ASSERT_FALSE(less);
  EXPECT_EQ(less.error().message(), "call 2: expected none, got `stop box 10`");
  EXPECT_EQ(null->calls().front().options.memory, 1 << 20);
}

TEST_F(Null, AFailureIsForOneCall) {
  null->fail_next(NullRuntime::Operation::kRemove, Error(ErrorCode::kSystem, "the disk is full"));
  const auto results = runtime.force_remove({web, runtime.container("absent")});
  ASSERT_EQ(results.size(), 2U);
  EXPECT_FALSE(results[0].removed);
  EXPECT_EQ(results[0].error->message(), "the disk is full");
  EXPECT_TRUE(results[1].removed) << "it goes on";
  EXPECT_EQ(web.remove(Force::kYes), true);
}

TEST_F(Null, WaitersGoOnWhenAContainerEnds) {
  std::jthread other([this] {
    std::this_thread::sleep_for(20ms);
    null->end_container("web", 42);
  });
  EXPECT_EQ(web.wait(60s), 42);
  EXPECT_EQ(web.state(), ContainerStatus::kStopped);
}

TEST_F(Null, WaitersGoOnWhenAContainerIsRemoved) {
  std::jthread other([this] {
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(web.remove(Force::kYes), true);
  });
  const auto code = web.wait(60s);
  ASSERT_TRUE(code);
  EXPECT_FALSE(*code);
}

TEST_F(Null, StatesAndSizesAreScripted) {
  null->set_state("web", ContainerStatus::kPaused);
  null->set_rw_size("web", 1234);
  EXPECT_EQ(web.state(), ContainerStatus::kPaused);
  EXPECT_EQ(web.running(), false);
  EXPECT_EQ(web.rw_size(), 1234U);
}

TEST_F(Null, ALineOfALogWakesWhoFollows) {
  std::jthread other([this] {
    std::this_thread::sleep_for(20ms);
    null->add_log("web", "ready", LogLine::Stream::kStderr);
  });
  EXPECT_EQ(web.stream_initial_logs(
                [](const LogLine& line) {
                  return line.text == "ready" && line.stream == LogLine::Stream::kStderr;
                },
                60s),
            true);
}

TEST_F(Null, AnImageGoesWithItsLastName) {
  null->add_image({.names = {"docker.io/library/a:1", "docker.io/library/b:2"}});
  null->add_image({});
  const auto all = runtime.images();
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 3U);
  const auto dangling = runtime.images(true);
  ASSERT_TRUE(dangling);
  ASSERT_EQ(dangling->size(), 1U);
  EXPECT_EQ(dangling->front().repository(), "<none>");
  EXPECT_EQ(runtime.image("a:1").remove(), true);
  EXPECT_EQ(runtime.image("b:2").exists(), true);
  EXPECT_EQ(runtime.image("b:2").repository(), "docker.io/library/b");
  EXPECT_EQ(runtime.image("b:2").remove(), true);
  EXPECT_EQ(runtime.images()->size(), 1U);
}

// For ThreadSanitizer: everything at once.
TEST_F(Null, ManyThreadsUseOne) {
  null->on_exec("web", {"cat"}, ExecScript().reads("x").prints("y").repeats());
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      const std::string name = "box-" + std::to_string(i);
      for (int round = 0; round < 50; ++round) {
        ContainerInfo info;
        info.name = name;
        info.status = ContainerStatus::kRunning;
        null->add_container(info);
        null->add_log(name, "line");
        EXPECT_EQ(exec({"cat"}, "x"), 0);
        EXPECT_TRUE(runtime.containers_with_prefix("box"));
        auto log = runtime.container(name).logs({.follow = true});
        ASSERT_TRUE(log);
        EXPECT_TRUE(log->next(10s));
        std::jthread ender([&] { null->end_container(name, round); });
        EXPECT_EQ(runtime.container(name).wait(60s), round);
        (void)null->calls();
      }
    });
  }
}

}  // namespace

}  // namespace trivet
