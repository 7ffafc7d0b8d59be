#include "runtime/pool_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/options_json.h"
#include "temporary_home.h"

namespace trivet::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

RunOptions make_options() {
  RunOptions options;
  options.image = "sha256:0";
  options.command = {"sh", "-c", "echo \"\n\""};
  options.entrypoint = std::vector<std::string>{};
  options.terminal = options.interactive = options.init = options.read_only = true;
  options.env = {"A=b c", "EMPTY="};
  options.labels = {{"a", "b"}};
  options.mounts = {
      {.type = "bind", .source = "/s", .destination = "/d", .options = {"ro"}, .sub_path = "p"}};
  options.publish = {"80"};
  options.memory = 1LL << 40U;
  options.memory_swap = -1;
  options.cpu_shares = 7;
  options.oom_score_adj = -5;
  options.isolation = "wasm";
  options.restart = {.kind = RestartPolicy::Kind::kOnFailure, .max_retries = 3};
  options.stop_timeout = std::chrono::seconds(1);
  options.timeout = std::chrono::milliseconds(1500);
  options.log_max_files = 2;
  return options;
}

PoolRecord make_record() {
  return {.name = "p",
          .created = parse_timestamp("2026-01-02T03:04:05.000000006Z").value(),
          .size = 3,
          .image = "busybox",
          .run = make_options()};
}

TEST(Options, DefaultsAreLeftOut) {
  EXPECT_TRUE(options_to_json({}).empty());
}

TEST(Options, RoundTrip) {
  const Json json = options_to_json(make_options());
  const auto read = options_from_json(JsonView(json, "options"));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(options_to_json(*read), json);
  EXPECT_EQ(read->command, make_options().command);
  EXPECT_EQ(read->entrypoint, std::vector<std::string>());
  EXPECT_EQ(read->mounts.front().sub_path, "p");
  EXPECT_EQ(read->restart.max_retries, 3);
  EXPECT_EQ(read->timeout, std::chrono::milliseconds(1500));
  EXPECT_EQ(read->memory_swap, -1);
}

TEST(Options, WhatIsNoneIsRefused) {
  for (const char* text :
       {R"({"env": "A=b"})", R"({"memory": "1"})", R"({"restart": {"kind": "perhaps"}})",
        R"({"mounts": [1]})", R"({"labels": []})", R"([])", R"({"oomScoreAdj": 99999999999})"}) {
    const Json json = Json::parse(text);
    EXPECT_FALSE(options_from_json(JsonView(json, "options"))) << text;
  }
}

TEST(PoolRecords, RoundTrip) {
  const std::string text = print_pool(make_record());
  const auto read = parse_pool(text);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(print_pool(*read), text);
  EXPECT_EQ(read->size, 3U);
  EXPECT_EQ(read->created, make_record().created);
}

TEST(PoolRecords, WhatIsNoneIsRefused) {
  for (const char* text :
       {"", "{", "[]", "{}", R"({"name": "../x"})", R"({"name": "p", "size": -1})",
        R"({"name": "p", "size": 100000})", R"({"name": "p", "options": 1})"}) {
    EXPECT_FALSE(parse_pool(text)) << text;
  }
}

TEST(Pools, AreWholeOrNotThere) {
  const TemporaryDirectory directory;
  const Home home = make_home(directory);
  EXPECT_THAT(list_pool_names(home).value(), IsEmpty());
  EXPECT_EQ(read_pool(home, "p").error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(add_pool(home, make_record()));
  EXPECT_EQ(add_pool(home, make_record()).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_THAT(list_pool_names(home).value(), ElementsAre("p"));
  EXPECT_THAT(list_hidden_pools(home).value(), IsEmpty());
  EXPECT_EQ(read_pool(home, "p")->image, "busybox");
  const auto hidden = hide_pool(home, "p");
  ASSERT_TRUE(hidden);
  EXPECT_THAT(list_pool_names(home).value(), IsEmpty());
  EXPECT_THAT(list_hidden_pools(home).value(), ElementsAre(*hidden));
}

TEST(Pools, OneLockAtATime) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(is_pool_locked(directory.path()));
  const auto first = lock_pool(directory.path(), Patience::kTry);
  ASSERT_TRUE(first && first->valid());
  EXPECT_TRUE(is_pool_locked(directory.path()));
  const auto second = lock_pool(directory.path(), Patience::kTry);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->valid());
}

TEST(Pools, KeepTheLastFailure) {
  const TemporaryDirectory directory;
  const Home home = make_home(directory);
  ASSERT_TRUE(add_pool(home, make_record()));
  EXPECT_FALSE(last_pool_failure(home, "p"));
  note_pool_failure(home, "p", Error(ErrorCode::kNotFound, "no image"));
  ASSERT_TRUE(last_pool_failure(home, "p"));
  EXPECT_THAT(last_pool_failure(home, "p")->message(), HasSubstr("no image"));
  note_pool_failure(home, "p", std::nullopt);
  EXPECT_FALSE(last_pool_failure(home, "p"));
}

}  // namespace
}  // namespace trivet::runtime
