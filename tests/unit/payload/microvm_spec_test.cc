// How a container's configuration is divided between a microVM's guest and its shell.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "linux/device_nodes.h"
#include "payload/microvm/guest_spec.h"
#include "payload/scratch.h"

namespace trivet::payload::microvm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

oci::Spec example() {
  oci::Spec spec = oci::default_spec(oci::SpecKind::kRoot);
  spec.root = oci::Root{.path = "rootfs", .readonly = false};
  return spec;
}

const oci::Mount* find_mount(const oci::Spec& spec, const std::string& destination) {
  const oci::Mount* found = nullptr;
  for (const oci::Mount& mount : spec.mounts) {
    if (mount.destination == destination) found = &mount;
  }
  return found;
}

std::vector<std::string> lines(const std::vector<oci::Mount>& mounts) {
  std::vector<std::string> result;
  for (const oci::Mount& mount : mounts) {
    const bool remount = !mount.options.empty() && mount.options.front() == "remount";
    result.push_back(fmt::format("{} {}{}", remount ? "close" : mount.type, mount.destination,
                                 mount.type == "bind" ? " " + mount.source : ""));
  }
  return result;
}

// ---- devices

oci::Device fuse(const std::string& path) {
  return {.path = path, .type = 'c', .major = 10, .minor = 229};
}

oci::Spec with_devices(std::vector<oci::Device> devices, std::vector<oci::DeviceRule> rules) {
  oci::Spec spec = example();
  spec.linux_config->devices = std::move(devices);
  spec.linux_config->resources.emplace().devices = std::move(rules);
  return spec;
}

TEST(MicrovmSpec, ADeviceThatWasAskedForIsRefused) {
  const auto plan = plan_guest(with_devices({fuse("/dev/fuse")}, {oci::DeviceRule{}}), {});
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message(), HasSubstr("/dev/fuse"));
}

TEST(MicrovmSpec, ThePrivilegedGetTheGuestsDevicesForTheHosts) {
  auto devices = find_devices("/dev");
  ASSERT_TRUE(devices);
  if (devices->empty()) GTEST_SKIP() << "this host has the usual devices only";
  devices->push_back({.path = "/dev/null", .type = 'c', .major = 1, .minor = 3});
  const auto plan = plan_guest(with_devices(*devices, {{.allow = true}}), {});
  ASSERT_TRUE(plan) << plan.error().message();
  ASSERT_EQ(plan->guest.linux_config->devices.size(), 1U);
  EXPECT_EQ(plan->guest.linux_config->devices.front().path, "/dev/null");
  EXPECT_TRUE(allows_all_devices(*plan->guest.linux_config));
  EXPECT_FALSE(plan_guest(with_devices(*devices, {oci::DeviceRule{}}), {}));
}

TEST(MicrovmSpec, APrivilegedDeviceUnderAnotherNameWasAskedFor) {
  const auto plan = plan_guest(with_devices({fuse("/dev/other")}, {{.allow = true}}), {});
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message(), HasSubstr("/dev/other"));
}

// ---- what is seen from outside

TEST(MicrovmSpec, TheViewHasWhatIsOnTheHostAndClosesTheRest) {
  const Scratch scratch;
  oci::Spec spec = example();
  spec.root->readonly = true;
  spec.mounts = {
      {.destination = "/proc", .type = "proc", .source = "proc"},
      {.destination = "/dev", .type = "tmpfs", .source = "tmpfs"},
      {.destination = "/dev/pts", .type = "devpts", .source = "devpts"},
      {.destination = "/data", .type = "bind", .source = scratch.path(), .options = {"rbind"}},
      {.destination = "/etc/hosts", .type = "bind", .source = "hosts", .options = {"bind"}}};
  const auto plan = plan_guest(spec, {.bundle = "/b", .root_is_shared = true});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_THAT(lines(plan->view), ElementsAre("bind / /b/rootfs", "proc /proc", "tmpfs /dev",
                                             "bind /data " + scratch.path(),
                                             "bind /etc/hosts /b/hosts", "close /dev", "close /"));
}

TEST(MicrovmSpec, ThereIsNothingToSeeOfABlockDevice) {
  const auto plan = plan_guest(example(), {.bundle = "/b"});
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->view.empty());
}

// ---- shared memory

class SharedMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr)) {
      GTEST_SKIP() << "needs root, to mount";
    }
    ASSERT_EQ(mkdir(directory_.c_str(), 0700), 0);
    ASSERT_EQ(mount("shm", directory_.c_str(), "tmpfs", 0, "size=1m"), 0);
    spec_.mounts = {{.destination = "/dev/shm",
                     .type = "bind",
                     .source = directory_,
                     .options = {"bind", "rprivate"}}};
  }
  void TearDown() override { umount(directory_.c_str()); }

  // The type of /dev/shm in the guest.
  std::string type() {
    const auto plan = plan_guest(spec_, {});
    if (!plan) return plan.error().message();
    const oci::Mount* found = find_mount(plan->guest, "/dev/shm");
    EXPECT_EQ(plan->shares.size(), found->type == "bind" ? 1U : 0U);
    options_ = found->options;
    return found->type;
  }

  Scratch scratch_;
  std::string directory_ = scratch_ / "shm";
  oci::Spec spec_ = example();
  std::vector<std::string> options_;
};

TEST_F(SharedMemory, OfAnEngineIsTheGuestsOfTheSameSize) {
  EXPECT_EQ(type(), "tmpfs");
  EXPECT_THAT(options_, testing::Contains("size=1048576"));
}

TEST_F(SharedMemory, OfAJoinedNamespaceStaysShared) {
  for (oci::Namespace& entry : spec_.linux_config->namespaces) {
    if (entry.type == oci::NamespaceType::kIpc) entry.path = "/proc/1/ns/ipc";
  }
  EXPECT_EQ(type(), "bind");
}

TEST_F(SharedMemory, OfTheHostStaysShared) {
  std::erase_if(spec_.linux_config->namespaces,
                [](const auto& entry) { return entry.type == oci::NamespaceType::kIpc; });
  EXPECT_EQ(type(), "bind");
}

TEST_F(SharedMemory, IsNotJustAnyDirectory) {
  ASSERT_EQ(mkdir((directory_ + "/shm").c_str(), 0700), 0);
  spec_.mounts.front().source = directory_ + "/shm";
  EXPECT_EQ(type(), "bind");
}

}  // namespace
}  // namespace trivet::payload::microvm
