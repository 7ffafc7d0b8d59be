#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/listing.h"

namespace trivet::cli {
namespace {

PodInfo pod(const std::string& name, PodPhase phase) {
  PodInfo info{.id = std::string(64, 'a'), .name = name, .phase = phase};
  info.labels = {{"app", name}};
  info.created = std::chrono::system_clock::now();
  info.ports = {{.host_ip = "0.0.0.0", .host_port = 8080, .container_port = 80, .protocol = "tcp"}};
  for (const char* role : {"init", "sidecar", "main"}) {
    PodContainerInfo member{.name = role, .role = role};
    member.ready = member.role == "main";
    member.container.restart_count = 2;
    info.containers.push_back(std::move(member));
  }
  return info;
}

TEST(PodListing, CountsThoseThatStay) {
  const Listing listing = list_pods({pod("web", PodPhase::kRunning)}, IdLength::kShort);
  ASSERT_EQ(listing.rows.size(), 1U);
  EXPECT_EQ(listing.rows[0][0], std::string(12, 'a'));
  EXPECT_EQ(listing.rows[0][2], "Running");
  EXPECT_EQ(listing.rows[0][3], "1/2");
  EXPECT_EQ(listing.rows[0][4], "6");
  EXPECT_EQ(listing.rows[0][6], "0.0.0.0:8080->80/tcp");
  EXPECT_EQ(listing.items[0]["Containers"].size(), 3U);
}

TEST(PodListing, SaysWhyAPodHasEnded) {
  PodInfo info = pod("web", PodPhase::kFailed);
  info.reason = "DeadlineExceeded";
  EXPECT_EQ(list_pods({info}, IdLength::kFull).rows[0][2], "Failed (DeadlineExceeded)");
}

TEST(PodFilter, OfOneKeyOneIsEnoughAndKeysMustAllHold) {
  PodFilter filter;
  ASSERT_TRUE(filter.add("status=running"));
  ASSERT_TRUE(filter.add("status=failed"));
  ASSERT_TRUE(filter.add("label=app=web"));
  EXPECT_TRUE(filter.accepts(pod("web", PodPhase::kRunning)));
  EXPECT_TRUE(filter.accepts(pod("web", PodPhase::kFailed)));
  EXPECT_FALSE(filter.accepts(pod("web", PodPhase::kStopping)));
  EXPECT_FALSE(filter.accepts(pod("db", PodPhase::kRunning)));
  EXPECT_FALSE(filter.add("status=fine"));
  EXPECT_FALSE(filter.add("color=blue"));
}

TEST(ContainerFilter, APodIsItsNameOrTheBeginOfItsId) {
  const PodNames pods = {{"abcdef", "web"}};
  ContainerInfo info;
  info.pod = "abcdef";
  for (const char* good : {"pod=web", "pod=abc"}) {
    ContainerFilter filter;
    ASSERT_TRUE(filter.add(good));
    EXPECT_TRUE(filter.names_pods());
    EXPECT_TRUE(filter.accepts(info, pods)) << good;
    EXPECT_FALSE(filter.accepts(ContainerInfo{}, pods)) << good;
  }
  ContainerFilter other;
  ASSERT_TRUE(other.add("pod=db"));
  EXPECT_FALSE(other.accepts(info, pods));
}

}  // namespace
}  // namespace trivet::cli
