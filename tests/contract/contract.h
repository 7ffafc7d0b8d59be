// The contract of Backend, as tests of trivet::Runtime: whatever is behind it has to pass them.
//
// The engine under test has one image, whose program /probe does what its words say: "echo x",
// "err x", "env", "upper" (its input in capitals), "bytes N", "read FILE", "sleep MS", "exit N",
// with "," between them. For NullRuntime, which runs nothing, each test also says what the program
// is going to do.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "trivet/null_runtime.h"
#include "trivet/runtime.h"

namespace trivet::contract {

using namespace std::chrono_literals;

// What is tested, from the environment: see main.cc.
struct Bench {
  std::shared_ptr<NullRuntime> null;  // if it is that
  Runtime runtime;
  std::string image;  // its name
  std::string probe;  // the path of its program
  // Its containers' files are on a disk that only their own machine reads: while they do not run
  // nothing is copied into them, and their sizes are not known.
  bool files_are_hidden = false;
  int patience = 1;  // all deadlines are multiplied by it
};
Bench& bench();

template <typename... Words>
std::vector<std::string> probe(Words... words) {
  return {bench().probe, words...};
}

// For NullRuntime only.
inline void will(const std::string& name, std::vector<std::string> argv, ExecScript script) {
  if (bench().null) bench().null->on_exec(name, std::move(argv), std::move(script));
}
inline void will_when_started(const std::string& name, StartScript script) {
  if (bench().null) bench().null->when_started(name, std::move(script));
}

#define ASSERT_OK(...)                                                   \
  do {                                                                   \
    const auto& ok_result = (__VA_ARGS__);                               \
    ASSERT_TRUE(ok_result.has_value()) << (ok_result.error()).message(); \
  } while (false)
// Of a Result whose value is std::optional: what is in it, or std::nullopt.
#define EXPECT_GIVES(expected, ...)                                          \
  do {                                                                       \
    const auto& given_result = (__VA_ARGS__);                                \
    ASSERT_TRUE(given_result.has_value()) << given_result.error().message(); \
    EXPECT_TRUE(*given_result == (expected)) << #__VA_ARGS__;                \
  } while (false)
#define EXPECT_CODE(expected, ...)                               \
  do {                                                           \
    const auto& failed_result = (__VA_ARGS__);                   \
    ASSERT_FALSE(failed_result.has_value());                     \
    EXPECT_EQ(failed_result.error().code(), ErrorCode::expected) \
        << failed_result.error().message();                      \
  } while (false)

class Contract : public testing::Test {
 protected:
  static RunOptions options(const std::string& name, std::vector<std::string> words) {
    RunOptions options;
    options.image = bench().image;
    options.name = name;
    options.command = std::move(words);
    options.network = "none";
    options.experimental = true;
    return options;
  }
  // One that waits until it is stopped.
  static Result<Container> run_waiting(const std::string& name) {
    return bench().runtime.run(options(name, {"echo", "up", ",", "sleep", "100000000"}));
  }

  void TearDown() override {
    std::vector<Container> left;
    const auto list = bench().runtime.list();
    ASSERT_OK(list);
    for (const ContainerInfo& info : *list) left.push_back(bench().runtime.container(info.name));
    for (const RemoveResult& result : bench().runtime.force_remove(left)) {
      EXPECT_TRUE(result.removed) << result.name << ": " << result.error->message();
    }
    if (bench().null != nullptr) {
      ASSERT_OK(bench().null->verify());
    }
  }

  Runtime& runtime = bench().runtime;
};

}  // namespace trivet::contract
