// A command line of `trivet run` to RunOptions.
#include "cli/run_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/parse.h"

namespace trivet::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::Pair;

Result<RunOptions> parse_run(const std::vector<std::string>& words) {
  RunFlags flags;
  Command command;
  command.path = "run";
  command.stops_at_first_argument = true;
  command.max_arguments = kAnyNumber;
  declare_run_options(command, flags);
  const Parsed parsed = TRY(parse_words(command, {}, words));
  return finish_run_options(flags, parsed.arguments);
}

RunOptions run(const std::vector<std::string>& words) {
  auto options = parse_run(words);
  EXPECT_TRUE(options.has_value()) << (options ? "" : options.error().message());
  return options.value_or(RunOptions{});
}

TEST(RunOptionsOf, TheImageAloneHasAllDefaults) {
  const RunOptions options = run({"busybox"});
  EXPECT_EQ(options.image, "busybox");
  EXPECT_THAT(options.command, IsEmpty());
  EXPECT_EQ(options.network, "pasta");
  EXPECT_EQ(options.pull, "missing");
  EXPECT_EQ(options.shm_size, 64 << 20);
  EXPECT_FALSE(options.memory);
  EXPECT_FALSE(options.detach);
  EXPECT_TRUE(options.transfer.tls_verify);
}

TEST(RunOptionsOf, OptionsStopAtTheImage) {
  const RunOptions options = run({"-it", "busybox", "ls", "-d", "--rm", "--", "--name=x", ""});
  EXPECT_TRUE(options.interactive);
  EXPECT_TRUE(options.terminal);
  EXPECT_FALSE(options.detach);
  EXPECT_FALSE(options.remove);
  EXPECT_THAT(options.command, ElementsAre("ls", "-d", "--rm", "--", "--name=x", ""));
}

TEST(RunOptionsOf, TheCommandIsKeptToTheByte) {
  const RunOptions options = run({"busybox", "sh", "-c", "[a,b]", "{}", "--x=", "''", "-1"});
  EXPECT_THAT(options.command, ElementsAre("sh", "-c", "[a,b]", "{}", "--x=", "''", "-1"));
}

TEST(RunOptionsOf, OneSeparatorAfterTheImageIsOurs) {
  EXPECT_THAT(run({"busybox", "--", "ls", "--"}).command, ElementsAre("ls", "--"));
  EXPECT_EQ(run({"--rm", "--", "busybox", "ls"}).image, "busybox");
}

TEST(RunOptionsOf, WithARootfsThereIsNoImage) {
  const RunOptions options = run({"--rootfs", "/tree", "--", "/bin/ls", "--", "-l"});
  EXPECT_EQ(options.rootfs, "/tree");
  EXPECT_EQ(options.image, "");
  EXPECT_THAT(options.command, ElementsAre("/bin/ls", "--", "-l"));
  EXPECT_THAT(run({"--rootfs", "/tree", "sh", "-c", "x"}).command, ElementsAre("sh", "-c", "x"));
}

TEST(RunOptionsOf, FlagsMayBeSetToFalse) {
  const RunOptions options = run({"--tls-verify=false", "--rm=false", "--init=true", "x"});
  EXPECT_FALSE(options.transfer.tls_verify);
  EXPECT_FALSE(options.remove);
  EXPECT_TRUE(options.init);
}

TEST(RunOptionsOf, ListsKeepTheirOrderAndBytes) {
  const RunOptions options = run({"-e", "A=1", "--env=B=[1,2]", "-eC", "--env", "", "-v", "a:/a:ro",
                                  "-p", "8080:80", "-p127.0.0.1:53:53/udp", "x"});
  EXPECT_THAT(options.env, ElementsAre("A=1", "B=[1,2]", "C", ""));
  EXPECT_THAT(options.volumes, ElementsAre("a:/a:ro"));
  EXPECT_THAT(options.publish, ElementsAre("8080:80", "127.0.0.1:53:53/udp"));
}

TEST(RunOptionsOf, AnEmptyValueIsAValue) {
  const RunOptions options = run({"--entrypoint=", "busybox", "ls"});
  EXPECT_EQ(options.image, "busybox");
  EXPECT_THAT(options.entrypoint, Optional(IsEmpty()));
  EXPECT_THAT(run({"--entrypoint", "", "x"}).entrypoint, Optional(IsEmpty()));
}

TEST(RunOptionsOf, AnEntrypointIsOneWordOrAJsonArray) {
  EXPECT_THAT(run({"--entrypoint", "/bin/my sh", "x"}).entrypoint,
              Optional(ElementsAre("/bin/my sh")));
  EXPECT_THAT(run({"--entrypoint", R"(["a","b c"])", "x"}).entrypoint,
              Optional(ElementsAre("a", "b c")));
}

TEST(RunOptionsOf, TheLastOfSeveralScalarsCounts) {
  EXPECT_EQ(run({"--name", "a", "--name", "b", "x"}).name, "b");
}

TEST(RunOptionsOf, Limits) {
  const RunOptions options =
      run({"-m", "64m", "--memory-swap", "-1", "--pids", "50", "--cpus", "1.5", "--cpuset-cpus",
           "0-1", "--ulimit", "nofile=1:2", "--oom-score-adj", "-500", "--shm-size=1m", "x"});
  EXPECT_THAT(options.memory, Optional(64 << 20));
  EXPECT_THAT(options.memory_swap, Optional(-1));
  EXPECT_THAT(options.pids, Optional(50));
  EXPECT_THAT(options.cpu_quota, Optional(150000));
  EXPECT_THAT(options.cpu_period, Optional(100000U));
  EXPECT_EQ(options.cpuset_cpus, "0-1");
  EXPECT_THAT(options.ulimits, ElementsAre("nofile=1:2"));
  EXPECT_THAT(options.oom_score_adj, Optional(-500));
  EXPECT_EQ(options.shm_size, 1 << 20);
}

TEST(RunOptionsOf, CpuQuotaAndPeriodInOneOption) {
  const RunOptions options = run({"--cpu", "50000 100000", "x"});
  EXPECT_THAT(options.cpu_quota, Optional(50000));
  EXPECT_THAT(options.cpu_period, Optional(100000U));
  EXPECT_FALSE(run({"--cpu", "max 100000", "x"}).cpu_quota);
}

TEST(RunOptionsOf, NoLimitIsSpelledAsInDocker) {
  EXPECT_FALSE(run({"--pids-limit", "-1", "x"}).pids);
  EXPECT_FALSE(run({"--memory", "0", "x"}).memory);
  EXPECT_FALSE(run({"--cpus", "0", "x"}).cpu_quota);
  EXPECT_FALSE(run({"--cpu-quota", "-1", "x"}).cpu_quota);
}

TEST(RunOptionsOf, MapsAndPolicies) {
  const RunOptions options = run({"-l", "a=b=c", "--label", "empty", "--annotation", "x.y=z",
                                  "--sysctl", "net.core.somaxconn=10", "--restart", "on-failure:3",
                                  "--stop-signal", "SIGINT", "--stop-timeout", "3", "x"});
  EXPECT_THAT(options.labels, ElementsAre(Pair("a", "b=c"), Pair("empty", "")));
  EXPECT_THAT(options.annotations, ElementsAre(Pair("x.y", "z")));
  EXPECT_THAT(options.sysctls, ElementsAre(Pair("net.core.somaxconn", "10")));
  EXPECT_EQ(options.restart.kind, RestartPolicy::Kind::kOnFailure);
  EXPECT_EQ(options.restart.max_retries, 3);
  EXPECT_EQ(options.stop_signal, 2);
  EXPECT_EQ(options.stop_timeout, std::chrono::seconds(3));
  EXPECT_EQ(run({"--timeout=1m30s", "x"}).timeout, std::chrono::milliseconds(90000));
}

TEST(RunOptionsOf, MountsInLongForm) {
  const RunOptions options =
      run({"--mount", "type=bind,src=/a,dst=/b,readonly", "--mount",
           "type=tmpfs,target=/t,tmpfs-size=1m", "--mount", "target=/data,source=vol", "x"});
  ASSERT_EQ(options.mounts.size(), 3U);
  EXPECT_EQ(options.mounts[0].type, "bind");
  EXPECT_EQ(options.mounts[0].source, "/a");
  EXPECT_EQ(options.mounts[0].destination, "/b");
  EXPECT_THAT(options.mounts[0].options, ElementsAre("ro"));
  EXPECT_THAT(options.mounts[1].options, ElementsAre("size=1m"));
  EXPECT_EQ(options.mounts[2].type, "volume");
}

struct BadCase {
  std::vector<std::string> words;
  std::string message;
};

class BadRunOptions : public testing::TestWithParam<BadCase> {};

TEST_P(BadRunOptions, AreRefused) {
  const auto options = parse_run(GetParam().words);
  ASSERT_FALSE(options.has_value());
  EXPECT_THAT(options.error().message(), HasSubstr(GetParam().message));
  EXPECT_EQ(options.error().code(), ErrorCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadRunOptions,
    testing::Values(BadCase{{}, "no image"}, BadCase{{"--rm"}, "no image"},
                    BadCase{{"--frobnicate", "x"}, "unknown option --frobnicate"},
                    BadCase{{"--memry=1m", "x"}, "unknown option --memry"},
                    BadCase{{"-Z", "x"}, "unknown option -Z"},
                    BadCase{{"--name"}, "--name needs a value"},
                    BadCase{{"--memory", "lots", "x"}, "option --memory: \"lots\" is not a size"},
                    BadCase{{"--pids", "few", "x"}, "option --pids-limit"},
                    BadCase{{"--pids", "-2", "x"}, "option --pids-limit"},
                    BadCase{{"--cpus", "-1", "x"}, "option --cpus"},
                    BadCase{{"--cpus", "0.001", "x"}, "too little"},
                    BadCase{{"--cpu", "1 2 3", "x"}, "option --cpu"},
                    BadCase{{"--cpus", "1", "--cpu", "50000 100000", "x"}, "--cpus and --cpu"},
                    BadCase{{"--cpus", "1", "--cpu-quota", "50000", "x"}, "--cpus and --cpu-quota"},
                    BadCase{{"--restart", "sometimes", "x"}, "unknown restart policy"},
                    BadCase{{"--restart", "on-failure:x", "x"}, "unknown restart policy"},
                    BadCase{{"--rm", "--restart", "always", "x"}, "--rm and --restart"},
                    BadCase{{"--stop-signal", "SIGNOPE", "x"}, "not a signal"},
                    BadCase{{"--mount", "type=bind,target=/x", "x"}, "needs a source"},
                    BadCase{{"--mount", "type=nfs,target=/x", "x"}, "unknown type"},
                    BadCase{{"--mount", "target=/x,colour=red", "x"}, "unknown field"},
                    BadCase{{"--mount", "type=tmpfs", "x"}, "no target"},
                    BadCase{{"--sysctl", "=1", "x"}, "has no name"},
                    BadCase{{"--pull", "maybe", "x"}, "unknown policy"},
                    BadCase{{"--rootfs-write", "x"}, "for --rootfs only"},
                    BadCase{{"--memory-swap", "1g", "x"}, "needs --memory"},
                    BadCase{{"-m", "2g", "--memory-swap", "1g", "x"}, "less than --memory"},
                    BadCase{{"--oom-score-adj", "1001", "x"}, "not between"},
                    BadCase{{"--entrypoint", "[1]", "x"}, "entrypoint"}));

TEST(RunOptionsOf, AnUnknownOptionHasANearOne) {
  const auto options = parse_run({"--memry=1m", "x"});
  ASSERT_FALSE(options.has_value());
  EXPECT_THAT(options.error().hint_text(), HasSubstr("did you mean --memory?"));
  EXPECT_THAT(options.error().hint_text(), HasSubstr("trivet run --help"));
}

TEST(RunOptionsOf, HelpCountsBeforeTheImageOnly) {
  RunFlags flags;
  Command command;
  command.stops_at_first_argument = true;
  command.max_arguments = kAnyNumber;
  declare_run_options(command, flags);
  EXPECT_TRUE(parse_words(command, {}, {"--rm", "--help"})->help);
  EXPECT_TRUE(parse_words(command, {}, {"--bogus", "--help"})->help);
  EXPECT_FALSE(parse_words(command, {}, {"x", "--help"})->help);
}

}  // namespace
}  // namespace trivet::cli
