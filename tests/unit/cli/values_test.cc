#include "cli/values.h"

#include <cstdio>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"

namespace trivet::cli {
namespace {

using testing::ElementsAre;

TEST(Moment, IsATimeOrAnAge) {
  const auto now = std::chrono::system_clock::now();
  EXPECT_NEAR(std::chrono::duration<double>(now - *parse_moment("10m")).count(), 600, 5);
  EXPECT_EQ(*parse_moment("100"), Timestamp(std::chrono::seconds(100)));
  EXPECT_EQ(*parse_moment("1970-01-02"), Timestamp(std::chrono::hours(24)));
  EXPECT_EQ(*parse_moment("1970-01-01T00:01:00Z"), Timestamp(std::chrono::minutes(1)));
  EXPECT_FALSE(parse_moment("yesterday"));
}

TEST(CpuMax, ReadsLikeTheKernelsFile) {
  EXPECT_EQ(*parse_cpu_max("50000 200000")->quota, 50000);
  EXPECT_EQ(parse_cpu_max("50000 200000")->period, 200000U);
  EXPECT_EQ(parse_cpu_max("50000")->period, 100000U);
  for (const char* bad : {"", "x", "500 100000", "50000 10", "50000 1000001", "-1"}) {
    EXPECT_FALSE(parse_cpu_max(bad)) << bad;
  }
}

TEST(Cpus, AreQuotaInTheUsualPeriod) {
  EXPECT_EQ(*parse_cpus("0.5")->quota, 50000);
  EXPECT_EQ(*parse_cpus("2")->quota, 200000);
  for (const char* bad : {"", "x", "-1", "nan", "inf", "1e9", "1,5"}) {
    EXPECT_FALSE(parse_cpus(bad)) << bad;
  }
}

TEST(Restart, KnowsDockersPolicies) {
  EXPECT_EQ(parse_restart("unless-stopped")->kind, RestartPolicy::Kind::kUnlessStopped);
  EXPECT_EQ(parse_restart("on-failure")->max_retries, 0);
  EXPECT_FALSE(parse_restart("on-failure:-1"));
  EXPECT_FALSE(parse_restart(""));
}

TEST(EnvFile, HasOneVariableALine) {
  const std::string path = testing::TempDir() + "/trivet-env-" + std::to_string(getpid());
  ASSERT_TRUE(replace_file(AT_FDCWD, path, "# comment\nA=1\n\n  B=two words \nC\n"));
  EXPECT_THAT(*read_env_file(path), ElementsAre("A=1", "B=two words ", "C"));
  ASSERT_TRUE(replace_file(AT_FDCWD, path, "=x\n"));
  EXPECT_FALSE(read_env_file(path));
  std::remove(path.c_str());
  EXPECT_FALSE(read_env_file(path));
}

}  // namespace
}  // namespace trivet::cli
