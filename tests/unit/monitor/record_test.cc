#include "monitor/record.h"

#include <array>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fs.h"
#include "monitor/traces.h"

namespace trivet::monitor {
namespace {

class Records : public testing::Test {
 protected:
  void SetUp() override {
    std::array<char, 40> name{"/tmp/trivet-record-test-XXXXXX"};
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name.data();
    directories_ = {.data = root_ + "/data", .state = root_ + "/state"};
    ASSERT_TRUE(make_dirs(directories_.container("abc")));
    ASSERT_TRUE(make_dirs(directories_.runtime("abc")));
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, root_); }
  std::string root_;
  Directories directories_;
};

Record make_record() {
  Record record;
  record.id = "abc";
  record.name = "web";
  record.image = "docker.io/library/busybox:latest";
  record.image_id = "sha256:0";
  record.command = {"sh", "-c", "echo \"\n\""};
  record.labels = {{"a", "b"}};
  record.created = parse_timestamp("2026-01-02T03:04:05.000000006Z").value();
  record.overlay = {
      .lower_directories = {"/l1", "/l2"}, .upper_directory = "/u", .work_directory = "/w"};
  record.rootfs = "/r";
  record.network = net::Mode::kContainer;
  record.network_target = "def";
  record.ports = {{.host_ip = "::1", .host_port = 1, .container_port = 2, .protocol = "udp"}};
  record.terminal = record.interactive = record.remove = true;
  record.restart = RestartKind::kOnFailure;
  record.restart_retries = 3;
  record.stop_signal = 2;
  record.stop_timeout_ms = 1;
  record.timeout_ms = 5;
  record.log_max_size = 10;
  record.log_max_files = 4;
  record.anonymous_volumes = {"v1"};
  record.options_json = "{\"x\":1}";
  return record;
}

TEST_F(Records, RoundTrip) {
  const Record record = make_record();
  ASSERT_TRUE(write_record(directories_, record));
  const auto back = read_record(directories_, "abc");
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->name, record.name);
  EXPECT_EQ(back->command, record.command);
  EXPECT_EQ(back->labels, record.labels);
  EXPECT_EQ(back->created, record.created);
  ASSERT_TRUE(back->overlay);
  EXPECT_EQ(back->overlay->lower_directories, record.overlay->lower_directories);
  EXPECT_EQ(back->overlay->work_directory, "/w");
  EXPECT_EQ(back->network, record.network);
  EXPECT_EQ(back->ports, record.ports);
  EXPECT_TRUE(back->terminal && back->interactive && back->remove);
  EXPECT_EQ(back->restart, RestartKind::kOnFailure);
  EXPECT_EQ(back->restart_retries, 3);
  EXPECT_EQ(back->stop_signal, 2);
  EXPECT_EQ(back->timeout_ms, 5);
  EXPECT_EQ(back->log_max_size, 10U);
  EXPECT_EQ(back->anonymous_volumes, record.anonymous_volumes);
  EXPECT_EQ(back->options_json, record.options_json);
  // Only the optional ones are missing.
  Record plain = record;
  plain.overlay.reset();
  plain.timeout_ms.reset();
  ASSERT_TRUE(write_record(directories_, plain));
  EXPECT_FALSE(read_record(directories_, "abc")->overlay);
  EXPECT_FALSE(read_record(directories_, "abc")->timeout_ms);
}

TEST_F(Records, StatusRoundTripAndDefault) {
  EXPECT_EQ(read_status(directories_, "abc")->phase, Phase::kCreated);
  Status status{.phase = Phase::kRestarting,
                .monitor = {.pid = 1, .start_ticks = 2},
                .init = {.pid = 3, .start_ticks = 1ULL << 60U},
                .pasta = {.pid = 5, .start_ticks = 6},
                .exit_code = 137,
                .oom_killed = true,
                .error = "e\xff",
                .restart_count = 7,
                .started = parse_timestamp("2026-01-02T03:04:05Z").value(),
                .stopped_by_user = true};
  ASSERT_TRUE(write_status(directories_, "abc", status));
  const auto back = read_status(directories_, "abc");
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->phase, status.phase);
  EXPECT_EQ(back->monitor, status.monitor);
  EXPECT_EQ(back->init, status.init);
  EXPECT_EQ(back->pasta, status.pasta);
  EXPECT_EQ(back->exit_code, 137);
  EXPECT_TRUE(back->oom_killed && back->stopped_by_user);
  EXPECT_EQ(back->restart_count, 7);
  EXPECT_EQ(back->started, status.started);
  EXPECT_FALSE(back->finished);
}

TEST_F(Records, RefuseWhatIsMalformed) {
  for (const char* text :
       {"", "[]", "{\"id\":5}", "{\"id\":\"other\"}", "{\"id\":\"abc\",\"restart\":\"sometimes\"}",
        "{\"id\":\"abc\",\"ports\":[{\"hostPort\":70000}]}"}) {
    ASSERT_TRUE(replace_file(AT_FDCWD, directories_.container("abc") + "/record.json", text));
    EXPECT_FALSE(read_record(directories_, "abc")) << text;
  }
}

TEST_F(Records, TheLockTellsWhetherAMonitorLives) {
  EXPECT_FALSE(monitor_alive(directories_, "abc"));
  {
    const auto lock = take_lock(directories_.runtime("abc"));
    ASSERT_TRUE(lock);
    EXPECT_TRUE(monitor_alive(directories_, "abc"));
    EXPECT_TRUE(monitor_alive(directories_, "abc"));
    EXPECT_EQ(take_lock(directories_.runtime("abc")).error().code(), ErrorCode::kAlreadyExists);
  }
  EXPECT_FALSE(monitor_alive(directories_, "abc"));
}

TEST_F(Records, RemovalEndsWhatRunsAndLeavesNothing) {
  const Record record = make_record();
  ASSERT_TRUE(write_record(directories_, record));
  ASSERT_TRUE(make_dirs(directories_.data + "/volumes/v1/_data"));
  ASSERT_TRUE(make_dirs(directories_.data + "/volumes/kept/_data"));
  ASSERT_TRUE(make_dirs(directories_.data + "/names"));
  ASSERT_EQ(symlink("abc", (directories_.data + "/names/web").c_str()), 0);
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  ASSERT_TRUE(write_status(directories_, "abc", {.init = identify_process(child).value()}));
  const auto removed = remove_container(directories_, record);
  EXPECT_TRUE(removed) << removed.error().message();
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(exists(directories_.container("abc")));
  EXPECT_FALSE(exists(directories_.runtime("abc")));
  EXPECT_FALSE(exists(directories_.data + "/volumes/v1"));
  EXPECT_TRUE(exists(directories_.data + "/volumes/kept"));
  EXPECT_EQ(list_dir(AT_FDCWD, directories_.data + "/names")->size(), 0U);
  EXPECT_TRUE(remove_container(directories_, record)) << "again";
}

TEST_F(Records, RemovalKeepsANameThatAnotherContainerHas) {
  ASSERT_TRUE(make_dirs(directories_.data + "/names"));
  ASSERT_EQ(symlink("def", (directories_.data + "/names/web").c_str()), 0);
  ASSERT_TRUE(remove_container(directories_, make_record()));
  EXPECT_EQ(list_dir(AT_FDCWD, directories_.data + "/names")->size(), 1U);
}

}  // namespace
}  // namespace trivet::monitor
