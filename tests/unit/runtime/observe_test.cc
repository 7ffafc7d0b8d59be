#include "runtime/observe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/lifecycle.h"
#include "runtime/names.h"
#include "runtime/prune.h"
#include "runtime/volumes.h"
#include "temporary_home.h"

namespace trivet::runtime {
namespace {

using testing::ElementsAre;

monitor::Status running() {
  monitor::Status status;
  status.phase = monitor::Phase::kRunning;
  status.started = std::chrono::system_clock::now();
  return status;
}

TEST(JudgeState, MonitorIsBelievedWhileItLives) {
  EXPECT_EQ(judge_state(running(), true, true), ContainerStatus::kRunning);
  monitor::Status status = running();
  status.phase = monitor::Phase::kPaused;
  EXPECT_EQ(judge_state(status, true, true), ContainerStatus::kPaused);
  status.phase = monitor::Phase::kRestarting;
  EXPECT_EQ(judge_state(status, true, false), ContainerStatus::kRestarting);
}

TEST(JudgeState, WithoutMonitorTheInitDecides) {
  EXPECT_EQ(judge_state(running(), false, true), ContainerStatus::kBroken);
  EXPECT_EQ(judge_state(running(), false, false), ContainerStatus::kStopped);
  EXPECT_EQ(judge_state({}, false, false), ContainerStatus::kCreated);
}

TEST(ParsePs, KeepsTheRowsOfTheContainer) {
  const auto rows = parse_ps("USER  PID CMD\nroot    1 init\nroot   42 sleep 1 2\n", {42});
  ASSERT_TRUE(rows);
  EXPECT_THAT(*rows, ElementsAre(ElementsAre("USER", "PID", "CMD"),
                                 ElementsAre("root", "42", "sleep 1 2")));
  EXPECT_FALSE(parse_ps("USER CMD\nroot x\n", {42}));
}

class Containers : public testing::Test {
 protected:
  monitor::Record record(char digit, const std::string& name) {
    monitor::Record made;
    made.id = std::string(64, digit);
    made.name = name;
    made.rootfs = "/nowhere";
    make_container(home_, made);
    EXPECT_TRUE(claim_name(home_, name, made.id));
    return made;
  }

  TemporaryDirectory directory_;
  Home home_ = make_home(directory_);
};

TEST_F(Containers, ListSkipsHalfMadeOnes) {
  record('a', "web");
  ASSERT_TRUE(make_dirs(home_.directories.container(std::string(64, 'b')), 0700));
  const auto list = list_containers(home_, true, WithSize::kNo);
  ASSERT_TRUE(list) << list.error().message();
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().name, "web");
  EXPECT_EQ(list->front().status, ContainerStatus::kCreated);
  EXPECT_TRUE(list_containers(home_, false, WithSize::kNo)->empty());
}

TEST_F(Containers, AfterARebootARunningOneIsStopped) {
  const auto made = record('a', "web");
  monitor::Status status = running();
  status.init = {.pid = 1, .start_ticks = 12345678};  // another process has the pid now
  ASSERT_TRUE(monitor::write_status(home_.directories, made.id, status));
  const auto observed = observe_named(home_, "web");
  ASSERT_TRUE(observed);
  EXPECT_EQ(observed->state, ContainerStatus::kStopped);
  ASSERT_TRUE(settle_container(home_, made.id));
  const auto settled = monitor::read_status(home_.directories, made.id);
  EXPECT_EQ(settled->phase, monitor::Phase::kExited);
  EXPECT_EQ(settled->exit_code, 137);
  EXPECT_TRUE(settled->finished);
}

TEST_F(Containers, RemoveTakesNameAndDirectories) {
  const auto made = record('a', "web");
  ASSERT_TRUE(remove_container(home_, "web", false, false));
  EXPECT_FALSE(exists(home_.directories.container(made.id)));
  EXPECT_FALSE(find_id(home_, "web"));
  EXPECT_EQ(remove_container(home_, "web", false, false).error().code(), ErrorCode::kNotFound);
}

TEST_F(Containers, ForceRemovesHalfMadeOnes) {
  const std::string id(64, 'b');
  ASSERT_TRUE(make_dirs(home_.directories.container(id), 0700));
  EXPECT_FALSE(remove_container(home_, "bbbb", false, false));
  EXPECT_TRUE(remove_container(home_, "bbbb", true, false));
  EXPECT_FALSE(exists(home_.directories.container(id)));
}

TEST_F(Containers, RenameMovesTheClaim) {
  record('a', "web");
  record('b', "db");
  EXPECT_FALSE(rename_container(home_, *observe_named(home_, "web"), "db"));
  ASSERT_TRUE(rename_container(home_, *observe_named(home_, "web"), "front"));
  EXPECT_FALSE(find_id(home_, "web"));
  EXPECT_EQ(observe_named(home_, "front")->record.name, "front");
}

TEST_F(Containers, PruneRemovesStoppedOnesAndStaleNames) {
  record('a', "web");
  ASSERT_TRUE(claim_name(home_, "stale", std::string(64, 'c')));
  const auto pruned = prune_containers(home_);
  ASSERT_TRUE(pruned) << pruned.error().message();
  EXPECT_THAT(pruned->removed, ElementsAre("web"));
  EXPECT_FALSE(exists(home_.directories.names() + "/stale"));
}

TEST_F(Containers, VolumeInUseStays) {
  auto made = record('a', "web");
  made.options_json = R"({"Mounts":[{"Type":"volume","Name":"data"}]})";
  ASSERT_TRUE(monitor::write_record(home_.directories, made));
  ASSERT_TRUE(make_volume(home_, "data", false));
  ASSERT_TRUE(make_volume(home_, "spare", false));
  EXPECT_EQ(remove_volume(home_, "data", true).error().code(), ErrorCode::kWrongState);
  EXPECT_THAT(list_volumes(home_)->front().used_by, ElementsAre("web"));
  EXPECT_THAT(prune_volumes(home_)->removed, ElementsAre("spare"));
  EXPECT_EQ(remove_volume(home_, "spare", false).error().code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace trivet::runtime
