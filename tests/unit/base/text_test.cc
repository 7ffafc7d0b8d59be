#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/process.h"

namespace trivet {
namespace {

using testing::HasSubstr;

TEST(Size, AcceptsDockerUnits) {
  EXPECT_EQ(*parse_size("64m"), 64 << 20);
  EXPECT_EQ(*parse_size("1.5g"), 3LL << 29);
  EXPECT_EQ(*parse_size("2GiB"), 2LL << 30);
  EXPECT_EQ(*parse_size("1048576"), 1048576);
  EXPECT_EQ(*parse_size("7b"), 7);
  for (const char* bad : {"", "m", "12x", "-1", "1mm", "nan", "inf", "1e40g"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(Duration, AddsUnits) {
  EXPECT_EQ(parse_duration("90")->count(), 90000);
  EXPECT_EQ(parse_duration("1m30s")->count(), 90000);
  EXPECT_EQ(parse_duration("500ms")->count(), 500);
  EXPECT_FALSE(parse_duration("soon"));
  EXPECT_FALSE(parse_duration(""));
  EXPECT_FALSE(parse_duration("5q"));
}

TEST(Time, RoundTripsThroughRfc3339) {
  const Timestamp time = Timestamp(std::chrono::nanoseconds(1700000000123456789));
  EXPECT_EQ(format_rfc3339(time), "2023-11-14T22:13:20.123456789Z");
  EXPECT_EQ(*parse_timestamp(format_rfc3339(time)), time);
  EXPECT_EQ(*parse_timestamp("2023-11-14T23:13:20.123456789+01:00"), time);
}

TEST(Signal, KnowsNamesAndNumbers) {
  EXPECT_EQ(*parse_signal("SIGKILL"), 9);
  EXPECT_EQ(*parse_signal("term"), 15);
  EXPECT_EQ(*parse_signal("2"), 2);
  EXPECT_FALSE(parse_signal("NOPE"));
  EXPECT_FALSE(parse_signal("0"));
  EXPECT_EQ(signal_name(15), "SIGTERM");
}

TEST(NearestName, FindsATypoOnly) {
  EXPECT_EQ(nearest_name("pul", {"pull", "push", "ps"}), "pull");
  EXPECT_EQ(nearest_name("xyzzy", {"pull", "push"}), "");
}

TEST(Json, ErrorsNameThePathOfTheField) {
  const Json document = *parse_json(R"({"process":{"args":["a",5]}})", "config.json");
  const auto process = JsonView(document, "").find("process");
  std::vector<std::string> args;
  const auto read = (*process)->read("args", args);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("process.args[1]: expected a string"));
}

TEST(Json, RefusesDeepNesting) {
  EXPECT_FALSE(parse_json(std::string(100000, '['), "bomb"));
}

TEST(RunProgram, CollectsOutputAndExitCode) {
  const auto output = run_program({"sh", "-c", "cat; echo oops >&2; exit 3"}, {.stdin_text = "hi"});
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_EQ(output->exit_code, 3);
  EXPECT_EQ(output->stdout_text, "hi");
  EXPECT_EQ(output->stderr_text, "oops\n");
}

TEST(RunProgram, MissingProgramAndTimeoutAreErrors) {
  EXPECT_EQ(run_program({"no-such-program-here"}).error().code(), ErrorCode::kCommandNotFound);
  const auto late = run_program({"sleep", "30"}, {.timeout = std::chrono::milliseconds(50)});
  EXPECT_EQ(late.error().code(), ErrorCode::kTimeout);
}

}  // namespace
}  // namespace trivet
