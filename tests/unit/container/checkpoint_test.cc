#include "container/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "container/criu.h"

namespace trivet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Bytes as protoc prints them for the same message.
TEST(CriuMessage, ARequestIsInWireFormat) {
  criu::Options options;
  options.images_directory = 5;
  options.pid = 300;
  options.log_file = "l";
  options.external_mounts = {{"/a", "b"}};
  options.inherited = {{"pipe:[1]", 2}};
  const std::string bytes = encode_request(criu::RequestType::kDump, options);
  EXPECT_EQ(bytes.substr(0, 2), "\x08\x01");
  EXPECT_THAT(bytes, HasSubstr(std::string("\x08\x05\x10\xac\x02\x48\x04\x52\x01l", 10)));
  EXPECT_THAT(bytes, HasSubstr("\xba\x01\x07\x0a\x02/a\x12\x01"
                               "b"));
  EXPECT_THAT(bytes, HasSubstr("\xda\x01\x0c\x0a\x08pipe:[1]\x10\x02"));
}

TEST(CriuMessage, AnAnswerToANotification) {
  EXPECT_EQ(criu::encode_notify_answer(true), "\x08\x06\x18\x01");
  EXPECT_EQ(criu::encode_notify_answer(false), std::string("\x08\x06\x18\x00", 4));
}

TEST(CriuMessage, AnswersAreRead) {
  const auto notification = criu::parse_answer(
      std::string_view("\x08\x06\x10\x01\x2a\x07\x0a\x02\x61\x62\x10\xac\x02", 13));
  ASSERT_TRUE(notification);
  EXPECT_EQ(notification->type, criu::RequestType::kNotify);
  EXPECT_EQ(notification->script, "ab");
  EXPECT_EQ(notification->pid, 300);
  const auto failed = criu::parse_answer(std::string_view("\x08\x01\x10\x00\x38\x03\x4a\x01x", 9));
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->success);
  EXPECT_EQ(failed->error_number, 3);
  EXPECT_EQ(failed->error_text, "x");
  const auto restored = criu::parse_answer(std::string_view("\x08\x02\x10\x01\x22\x02\x08\x07", 8));
  EXPECT_EQ(restored.value().pid, 7);
}

TEST(CriuMessage, AnswersOfNewerVersionsAreRead) {
  // A field of each wire type that nobody knows: 100 (varint), 101 (64 bits), 102 (32 bits).
  const std::string_view bytes(
      "\x08\x02\xa0\x06\x01\xa9\x06"
      "12345678\xb5\x06"
      "1234\x10\x01",
      23);
  const auto answer = criu::parse_answer(bytes);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->success);
}

TEST(CriuMessage, NonsenseIsRefused) {
  for (const std::string_view bytes :
       {"", "\x08", "\x10\x01", "\x0a\xff\x01", "\x08\x06\x2a\x02\x0a\x09",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x0b"}) {
    EXPECT_EQ(criu::parse_answer(bytes).error().code(), ErrorCode::kCorrupt);
  }
}

TEST(CriuLog, OnlyTheFirstErrorsAreShown) {
  EXPECT_EQ(criu::errors_of_log(
                "(00.1) Running\n"
                "(00.2) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n"
                "(00.3)     42: Error (criu/mount.c:680): mnt: no\n"
                "(00.4) Error (criu/cr-dump.c:1): 2\nError (x): 3\nError (y): 4\n"),
            "mnt: no; 2; 3");
  EXPECT_EQ(criu::errors_of_log("(00.1) Warn  (criu/x.c:1): w\n"), "");
}

std::vector<std::string> targets(const container::RootPlan& plan) {
  std::vector<std::string> found;
  // Named: before C++23 is whole, what a range is a part of ends before the loop begins.
  const auto mounts = container::plan_host_mounts(plan);
  for (const auto& mount : mounts.value()) {
    found.push_back(mount.source + " " + mount.target + (mount.is_mask ? " mask" : ""));
  }
  return found;
}

TEST(HostMounts, AreWhatIsBoundAndWhatIsMasked) {
  container::RootPlan plan;
  plan.mounts = {{.kind = stage::MountKind::kFilesystem, .type = "tmpfs", .target = "/t"},
                 {.kind = stage::MountKind::kBind, .source = "/s", .target = "/b"}};
  plan.devices = {{.path = "/dev/made"}, {.path = "/dev/bound", .bind = true}};
  plan.masked_paths = {"/proc/keys"};
  EXPECT_THAT(targets(plan),
              ElementsAre("/s /b", "/dev/bound /dev/bound", "/dev/null /proc/keys mask"));
}

TEST(HostMounts, ThatAreIdmappedAreRefused) {
  container::RootPlan plan;
  plan.mounts = {{.kind = stage::MountKind::kBind, .target = "/b"}};
  plan.mounts[0].id_map.emplace();
  EXPECT_THAT(container::plan_host_mounts(plan).error().message(), HasSubstr("mount \"/b\""));
}

TEST(SharedNamespaces, AreThoseOfOthersThatAnImageCanName) {
  oci::Spec spec = oci::default_spec(oci::SpecKind::kRoot);
  EXPECT_THAT(container::plan_shared_namespaces(spec), IsEmpty());
  for (oci::Namespace& entry : spec.linux_config->namespaces) entry.path = "/path";
  const auto shared = container::plan_shared_namespaces(spec);
  ASSERT_EQ(shared.size(), 2U);
  EXPECT_EQ(shared[0].kind + " " + shared[0].name + " " + shared[0].path, "net extRootNetNS /path");
  EXPECT_EQ(shared[1].kind, "pid");
}

}  // namespace
}  // namespace trivet
