#include "monitor/restart.h"

#include <gtest/gtest.h>

namespace trivet::monitor {
namespace {

using std::chrono::milliseconds;

TEST(Restart, FollowsThePolicy) {
  EXPECT_FALSE(should_restart(RestartKind::kNo, 0, {.exit_code = 1}));
  EXPECT_TRUE(should_restart(RestartKind::kAlways, 0, {.exit_code = 0}));
  EXPECT_TRUE(should_restart(RestartKind::kUnlessStopped, 0, {.exit_code = 0}));
  EXPECT_FALSE(should_restart(RestartKind::kOnFailure, 0, {.exit_code = 0}));
  EXPECT_TRUE(should_restart(RestartKind::kOnFailure, 0, {.exit_code = 1, .restarts = 999}));
  EXPECT_TRUE(should_restart(RestartKind::kOnFailure, 3, {.exit_code = 1, .restarts = 2}));
  EXPECT_FALSE(should_restart(RestartKind::kOnFailure, 3, {.exit_code = 1, .restarts = 3}));
}

TEST(Restart, NeverAfterAStopOrATimeout) {
  for (const RestartKind kind :
       {RestartKind::kOnFailure, RestartKind::kAlways, RestartKind::kUnlessStopped}) {
    EXPECT_FALSE(should_restart(kind, 0, {.exit_code = 1, .stopped_by_user = true}));
    EXPECT_FALSE(should_restart(kind, 0, {.exit_code = 1, .timed_out = true}));
  }
}

TEST(Restart, BacksOffAndRecovers) {
  EXPECT_EQ(next_backoff(milliseconds(0), milliseconds(5)), milliseconds(100));
  EXPECT_EQ(next_backoff(milliseconds(100), milliseconds(5)), milliseconds(200));
  EXPECT_EQ(next_backoff(milliseconds(51200), milliseconds(5)), milliseconds(60000));
  EXPECT_EQ(next_backoff(milliseconds(60000), milliseconds(5)), milliseconds(60000));
  EXPECT_EQ(next_backoff(milliseconds(60000), milliseconds(10000)), milliseconds(100));
}

}  // namespace
}  // namespace trivet::monitor
