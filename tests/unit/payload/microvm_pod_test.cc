// What the machine of a pod has, and what each of its containers becomes in there.
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "payload/microvm/jail.h"
#include "payload/microvm/pod.h"
#include "payload/scratch.h"

namespace trivet::payload::microvm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr int64_t kMib = 1 << 20;

oci::Spec example(std::optional<int64_t> memory = {}, std::optional<int64_t> quota = {}) {
  oci::Spec spec = oci::default_spec(oci::SpecKind::kRoot);
  spec.root = oci::Root{.path = "rootfs", .readonly = false};
  auto& resources = spec.linux_config->resources.emplace();
  if (memory) resources.memory.emplace().limit = memory;
  if (quota) resources.cpu.emplace().quota = quota;
  return spec;
}

oci::Mount bind_mount(const std::string& source, const std::string& destination) {
  return {.destination = destination, .type = "bind", .source = source, .options = {"rbind", "ro"}};
}

class MicrovmPod : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"/volumes/scratch", "/volumes/fast", "/volumes/config"}) {
      ASSERT_TRUE(make_dirs(pod_ + name));
    }
    ASSERT_TRUE(replace_file(AT_FDCWD, pod_ + "/volumes/config/key", "value"));
    ASSERT_TRUE(replace_file(AT_FDCWD, pod_ + "/hosts", "127.0.0.1 localhost\n"));
    ASSERT_TRUE(make_dirs(pod_ + "/volumes/scratch/sub/inner"));
    ASSERT_EQ(chmod((pod_ + "/volumes/scratch").c_str(), 02770), 0);
  }

  PodSource source(std::vector<MemberSource> members) const {
    return {.directory = pod_,
            .volumes_directory = pod_ + "/volumes",
            .memory_volumes = {{"fast", 4096}},
            .members = std::move(members)};
  }

  Scratch scratch_;
  std::string pod_ = scratch_.path() + "/pod";
};

const oci::Mount& mount_at(const oci::Spec& spec, const std::string& destination) {
  const auto found = std::ranges::find(spec.mounts, destination, &oci::Mount::destination);
  EXPECT_NE(found, spec.mounts.end()) << destination;
  return *found;
}

TEST_F(MicrovmPod, VolumesWithoutFilesAreTheGuests) {
  const oci::Spec spec = example();
  const PodSource pod = source({{.spec = spec, .bundle = "/bundle"}});
  const auto content = PodContent::plan(pod);
  ASSERT_TRUE(content) << content.error().message();
  std::vector<std::string> volumes;
  for (const guest::Volume& volume : content->volumes()) {
    volumes.push_back(fmt::format("{} {:o} {} {}", volume.name, volume.mode,
                                  volume.in_memory ? "memory" : "disk", volume.size));
  }
  const auto found = std::ranges::find(content->volumes(), "scratch", &guest::Volume::name);
  ASSERT_NE(found, content->volumes().end());
  EXPECT_THAT(found->directories, ElementsAre("sub", "sub/inner"));
  EXPECT_THAT(volumes, UnorderedElementsAre(".shm 1777 memory 67108864", "fast 755 memory 4096",
                                            "scratch 2770 disk 0"));
}

TEST_F(MicrovmPod, MountsBecomeVolumesFilesAndShares) {
  oci::Spec spec = example();
  spec.hostname = "pod";
  spec.mounts.push_back(bind_mount(pod_ + "/volumes/scratch/sub", "/data"));
  spec.mounts.push_back(bind_mount(pod_ + "/volumes/config", "/config"));
  spec.mounts.push_back(bind_mount(pod_ + "/hosts", "/etc/hosts"));
  const PodSource pod =
      source({{.spec = spec, .bundle = "/bundle"}, {.spec = spec, .bundle = "/b"}});
  const auto content = PodContent::plan(pod);
  ASSERT_TRUE(content) << content.error().message();
  const auto members = content->make_members({.images = {"", ""}}, true);
  ASSERT_TRUE(members) << members.error().message();
  ASSERT_EQ(members->size(), 2U);
  const guest::CreateRequest& second = members->at(1).create;
  const auto guest = oci::parse_spec(second.config);
  ASSERT_TRUE(guest);
  EXPECT_EQ(mount_at(*guest, "/data").source, "/run/trivet/volumes/scratch/sub");
  EXPECT_THAT(mount_at(*guest, "/data").options, ElementsAre("rbind", "ro"));
  EXPECT_EQ(mount_at(*guest, "/dev/shm").source, "/run/trivet/volumes/.shm");
  EXPECT_EQ(mount_at(*guest, "/config").source, "/run/trivet/share/2-1");
  EXPECT_EQ(mount_at(*guest, "/etc/hosts").source, "/run/trivet/files/2-0");
  EXPECT_EQ(second.files.at(0).content, "127.0.0.1 localhost\n");
  EXPECT_EQ(guest->hostname, "");
  EXPECT_EQ(guest->linux_config->cgroups_path, "/container-2");
  EXPECT_EQ(guest->root->path, "/run/trivet/share/2-root");
  std::vector<std::string> shares;
  for (const oci::Mount& share : content->shares()) shares.push_back(share.destination);
  EXPECT_THAT(shares, ElementsAre("/share/1-root", "/share/1-1", "/share/2-root", "/share/2-1"));
}

TEST_F(MicrovmPod, EachKeepsItsShareOfTheProcessors) {
  const oci::Spec spec = example({}, 50'000);
  const PodSource pod = source({{.spec = spec, .bundle = "/bundle"}});
  const auto members = PodContent::plan(pod)->make_members({.images = {""}}, false);
  const auto guest = oci::parse_spec(members->at(0).create.config);
  EXPECT_EQ(guest->linux_config->resources->cpu->quota, 50'000);
}

TEST_F(MicrovmPod, NamespacesAreSharedAsThePodWants) {
  const oci::Spec spec = example();
  PodSource pod = source({{.spec = spec, .bundle = "/bundle"}});
  EXPECT_THAT(PodContent::plan(pod)->make_members({.images = {""}}, false)->at(0).create.joins,
              ElementsAre("ipc", "uts"));
  pod.share_pid = true;
  EXPECT_THAT(PodContent::plan(pod)->make_members({.images = {""}}, false)->at(0).create.joins,
              ElementsAre("ipc", "uts", "pid"));
}

TEST_F(MicrovmPod, TheSizeIsTheSumOfTheLimits) {
  const oci::Spec infra = example();
  const oci::Spec big = example(1024 * kMib, 250'000);
  const oci::Spec free = example();
  const auto sizes = plan_pod_sizes(infra, source({{.spec = big}, {.spec = free}}));
  ASSERT_TRUE(sizes) << sizes.error().message();
  EXPECT_EQ(*sizes, (Sizes{.vcpus = 4, .memory_mib = 1024 + 256 + 64}));
  EXPECT_EQ(*plan_pod_sizes(infra, source({{.spec = free}})), Sizes{});
  const oci::Spec limited = example(256 * kMib);
  EXPECT_EQ(plan_pod_sizes(limited, source({{.spec = big}, {.spec = free}}))->memory_mib, 256U);
}

TEST(MicrovmSizes, AHostMayAllowMoreOrLess) {
  oci::Spec spec = example(6144 * kMib, 1'000'000);
  EXPECT_EQ(plan_sizes(spec).error().code(), ErrorCode::kLimitExceeded);
  spec.annotations = {{kMaxCpusAnnotation, "12"}, {kMaxMemoryAnnotation, "8g"}};
  EXPECT_FALSE(plan_sizes(spec)) << "who writes annotations does not own the host";
  const auto raised = size_limits(spec.annotations);
  ASSERT_TRUE(raised) << raised.error().message();
  EXPECT_EQ(*plan_sizes(spec, *raised), (Sizes{.vcpus = 10, .memory_mib = 6144}));
  const SizeLimits low{.vcpus = 1, .annotated_vcpus = 1, .memory_mib = 256};
  EXPECT_EQ(plan_sizes(example(), low)->memory_mib, 256U) << "the default fits below";
  EXPECT_FALSE(plan_sizes(example(300 * kMib), low));
  for (const char* bad : {"", "0", "256", "many"}) {
    EXPECT_FALSE(size_limits({{kMaxCpusAnnotation, bad}})) << bad;
  }
  EXPECT_FALSE(size_limits({{kMaxMemoryAnnotation, "lots"}}));
}

TEST_F(MicrovmPod, TooManyContainersAreRefused) {
  const oci::Spec spec = example();
  const PodSource pod = source(std::vector<MemberSource>(65, {.spec = spec}));
  const auto content = PodContent::plan(pod);
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code(), ErrorCode::kLimitExceeded);
  EXPECT_THAT(content.error().message(), HasSubstr("64"));
}

TEST_F(MicrovmPod, AMembersShellHasNothing) {
  oci::Spec spec = example(64 * kMib);
  spec.linux_config->cgroups_path = "/pod/member";
  const oci::Spec shell = plan_member_jail(spec, "/jail");
  EXPECT_EQ(shell.root->path, "/jail");
  EXPECT_EQ(shell.linux_config->cgroups_path, "/pod/member");
  EXPECT_TRUE(shell.process->capabilities->bounding.empty());
  for (const oci::Mount& mount : shell.mounts) EXPECT_NE(mount.type, "bind") << mount.destination;
  const auto* network = shell.linux_config->find_namespace(oci::NamespaceType::kNetwork);
  ASSERT_NE(network, nullptr);
  EXPECT_EQ(network->path, "");
}

}  // namespace
}  // namespace trivet::payload::microvm
