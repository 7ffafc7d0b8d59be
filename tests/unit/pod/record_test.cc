#include "pod/record.h"

#include <array>
#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fs.h"

namespace trivet::pod {
namespace {

class PodRecords : public testing::Test {
 protected:
  void SetUp() override {
    std::array<char, 40> name{"/tmp/trivet-pod-test-XXXXXX"};
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name.data();
    paths_ = {.directories = {.data = root_, .state = root_}, .id = "abc"};
    ASSERT_TRUE(make_dirs(paths_.data()));
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, root_); }
  std::string root_;
  PodPaths paths_;
};

PodRecord make_record() {
  PodRecord record;
  record.id = "abc";
  record.name = "web";
  record.name_space = "default";
  record.created = parse_timestamp("2026-01-02T03:04:05.000000006Z").value();
  record.labels = {{"app", "web"}};
  record.network = net::Mode::kHost;
  record.ports = {{.host_ip = "127.0.0.1", .host_port = 80, .container_port = 8080}};
  record.sysctls = {{"net.core.somaxconn", "10"}};
  record.memory_volumes = {{.name = "cache", .size = 4096}};
  record.extensions = {{.name = "dns", .path = "/x/trivet-dns", .settings = "{}"}};
  record.deadline_ms = 5000;
  PodContainer& container = record.containers.emplace_back();
  container = {.id = "def", .name = "app", .role = Role::kSidecar};
  Probe& probe = container.liveness.emplace();
  probe.action = {.kind = Action::Kind::kHttp,
                  .host = "127.0.0.1",
                  .port = 8080,
                  .path = "/live",
                  .headers = {{"Host", "web"}, {"Host", "twice"}}};
  probe.failure_threshold = 7;
  probe.grace_ms = 1;
  container.pre_stop = Action{.kind = Action::Kind::kExec, .command = {"sh", "-c", "\"\n"}};
  container.post_start = Action{.kind = Action::Kind::kGrpc, .port = 9, .service = "s"};
  return record;
}

TEST_F(PodRecords, ComeBackAsTheyWere) {
  const PodRecord record = make_record();
  ASSERT_TRUE(write_pod_record(paths_, record));
  const auto read = read_pod_record(paths_);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->created, record.created);
  EXPECT_EQ(read->labels, record.labels);
  EXPECT_EQ(read->network, net::Mode::kHost);
  EXPECT_EQ(read->ports, record.ports);
  EXPECT_EQ(read->sysctls, record.sysctls);
  EXPECT_EQ(read->deadline_ms, 5000);
  ASSERT_EQ(read->memory_volumes.size(), 1U);
  EXPECT_EQ(read->memory_volumes[0].size, 4096U);
  ASSERT_EQ(read->extensions.size(), 1U);
  EXPECT_EQ(read->extensions[0].settings, "{}");
  ASSERT_EQ(read->containers.size(), 1U);
  const PodContainer& container = read->containers[0];
  EXPECT_EQ(container.role, Role::kSidecar);
  ASSERT_TRUE(container.liveness);
  EXPECT_EQ(container.liveness->action.headers, record.containers[0].liveness->action.headers);
  EXPECT_EQ(container.liveness->action.path, "/live");
  EXPECT_EQ(container.liveness->failure_threshold, 7);
  EXPECT_EQ(container.liveness->grace_ms, 1);
  EXPECT_FALSE(container.readiness);
  ASSERT_TRUE(container.pre_stop && container.post_start);
  EXPECT_EQ(container.pre_stop->command, record.containers[0].pre_stop->command);
  EXPECT_EQ(container.post_start->service, "s");
}

TEST_F(PodRecords, OfAnotherPodAreRefused) {
  PodRecord record = make_record();
  record.id = "other";
  ASSERT_TRUE(write_pod_record(paths_, record));
  EXPECT_FALSE(read_pod_record(paths_));
}

TEST_F(PodRecords, HaveAStatusThatComesBack) {
  EXPECT_EQ(read_pod_status(paths_).value().phase, PodPhase::kPreparing);
  PodStatus status;
  status.phase = PodPhase::kFailed;
  status.infra = {.pid = 7, .start_ticks = 8};
  status.reason = "Stopped";
  status.finished = parse_timestamp("2026-01-02T03:04:05.000000006Z").value();
  status.containers = {{.name = "app", .started = true, .ready = false, .message = "not yet"}};
  ASSERT_TRUE(write_pod_status(paths_, status));
  const PodStatus read = read_pod_status(paths_).value();
  EXPECT_EQ(read.phase, PodPhase::kFailed);
  EXPECT_EQ(read.infra, status.infra);
  EXPECT_EQ(read.reason, "Stopped");
  EXPECT_EQ(read.finished, status.finished);
  ASSERT_EQ(read.containers.size(), 1U);
  EXPECT_TRUE(read.containers[0].started);
  EXPECT_EQ(read.containers[0].message, "not yet");
}

TEST_F(PodRecords, ThatAreNoJsonSayWhere) {
  ASSERT_TRUE(replace_file(AT_FDCWD, paths_.data() + "/record.json", "{"));
  const auto read = read_pod_record(paths_);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message().find("record.json"), std::string::npos);
}

}  // namespace
}  // namespace trivet::pod
