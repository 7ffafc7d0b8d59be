// How a container's configuration is divided between a microVM's guest and its shell.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "payload/microvm/guest_spec.h"
#include "payload/scratch.h"

namespace trivet::payload::microvm {
namespace {

using ::testing::ElementsAre;

oci::Spec example() {
  oci::Spec spec = oci::default_spec(oci::SpecKind::kRoot);
  spec.root = oci::Root{.path = "rootfs", .readonly = false};
  return spec;
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

}  // namespace
}  // namespace trivet::payload::microvm
