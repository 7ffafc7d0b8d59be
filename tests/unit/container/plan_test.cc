#include "container/plan.h"

#include <cstring>
#include <fcntl.h>
#include <sys/mount.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "container/creation.h"
#include "container/encode.h"
#include "container/launch.h"
#include "container/state_store.h"
#include <linux/mount.h>
#include <linux/sched.h>

namespace trivet::container {
namespace {

using testing::HasSubstr;
using testing::Not;

oci::Spec example() {
  oci::Spec spec = oci::default_spec(oci::SpecKind::kRoot);
  spec.root->path = "/";
  return spec;
}

std::string printed(const oci::Spec& spec) {
  std::vector<std::string> warnings;
  const auto namespaces = plan_namespaces(spec);
  const auto root = plan_root(spec, {.bundle = "/b"});
  const auto process = plan_process(*spec.process, Powers::kOwn, warnings);
  EXPECT_TRUE(namespaces && root && process);
  return print_plan(*namespaces, *root, *process);
}

TEST(Plan, OfTheExampleSpec) {
  const std::string text = printed(example());
  EXPECT_THAT(text, HasSubstr("root bind - / -> / recursive\n"));
  EXPECT_THAT(text, HasSubstr("mount proc proc -> /proc\n"));
  EXPECT_THAT(
      text, HasSubstr("mount devpts devpts -> /dev/pts newinstance ptmxmode=0666 mode=0620 gid=5"));
  EXPECT_THAT(text, HasSubstr("device /dev/null 20666 1:3 0:0\n"));
  EXPECT_THAT(text, HasSubstr("symlink /dev/ptmx -> pts/ptmx\n"));
  EXPECT_THAT(text, HasSubstr("mask /proc/kcore\n"));
  EXPECT_THAT(text, HasSubstr("protect /proc/sys\n"));
  EXPECT_THAT(text, HasSubstr("exec sh\n"));
}

TEST(Plan, WhatAProgramShowsIsBesideItsOwnRoot) {
  Program program;
  program.shown = {
      {.destination = "/", .type = "bind", .source = "rootfs", .options = {"rbind", "rprivate"}},
      {.destination = "/dev", .type = "tmpfs", .source = "tmpfs"},
      {.destination = "/dev", .options = {"remount", "ro"}}};
  const auto plain = plan_root(example(), {.bundle = "/b"});
  const auto plan = plan_root(example(), {.bundle = "/b", .program = &program});
  ASSERT_TRUE(plain && plan);
  EXPECT_EQ(plan->mounts.size(), plain->mounts.size());
  ASSERT_EQ(plan->shown.size(), 3U);
  EXPECT_EQ(plan->shown[0].source, "/b/rootfs");
  EXPECT_EQ(plan->shown[1].kind, stage::MountKind::kFilesystem);
  EXPECT_EQ(plan->shown[2].kind, stage::MountKind::kRemount);
  EXPECT_EQ(plan->shown[2].options.attr_set, uint64_t{MOUNT_ATTR_RDONLY});
}

TEST(Plan, ADeviceOfTheSpecReplacesTheDefaultOne) {
  oci::Spec spec = example();
  spec.linux_config->devices.push_back(
      {.path = "/dev/null", .type = 'c', .major = 9, .minor = 9, .file_mode = 0600});
  const std::string text = printed(spec);
  EXPECT_THAT(text, HasSubstr("device /dev/null 20600 9:9"));
  EXPECT_THAT(text, Not(HasSubstr("device /dev/null 20666 1:3")));
}

TEST(Plan, ABoundDevIsLeftAlone) {
  oci::Spec spec = example();
  spec.mounts = {{.destination = "/dev", .type = "bind", .source = "/dev", .options = {"rbind"}}};
  EXPECT_THAT(printed(spec), Not(HasSubstr("device /dev/null")));
}

TEST(Plan, CgroupV1MountsBecomeOneDirectoryAHierarchy) {
  oci::Spec spec = example();
  cgroup::Paths paths{.mode = cgroup::Mode::kHybrid,
                      .directories = {"/sys/fs/cgroup/cpu/x", "/sys/fs/cgroup/pids/x"},
                      .by_controller = {{"cpu", "/sys/fs/cgroup/cpu/x"},
                                        {"pids", "/sys/fs/cgroup/pids/x"},
                                        {"hugetlb", "/sys/fs/cgroup/unified/x"}}};
  spec.mounts = {{.destination = "/sys/fs/cgroup",
                  .type = "cgroup",
                  .source = "cgroup",
                  .options = {"ro", "nosuid"}}};
  const auto root = plan_root(spec, {.bundle = "/b", .cgroup = &paths});
  ASSERT_TRUE(root);
  ASSERT_EQ(root->mounts.size(), 4U);
  EXPECT_EQ(root->mounts[0].type, "tmpfs");
  EXPECT_EQ(root->mounts[1].target, "/sys/fs/cgroup/cpu");
  EXPECT_EQ(root->mounts[2].source, "/sys/fs/cgroup/pids/x");
  EXPECT_EQ(root->mounts[3].options.attr_set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY));
}

TEST(Plan, AnOverlayThatIsTooLongForMountUsesOneParameterALayer) {
  oci::Spec spec = example();
  OverlayRoot overlay{.lower_directories = std::vector<std::string>(60, std::string(90, 'x')),
                      .upper_directory = "/u",
                      .work_directory = "/w"};
  const auto root =
      plan_root(spec, {.bundle = "/b", .overlay = overlay, .overlay_mount_point = "/m"});
  ASSERT_TRUE(root);
  EXPECT_EQ(root->root.kind, stage::MountKind::kFilesystem);
  EXPECT_EQ(root->root.options.parameters.size(), 62U);
  overlay.lower_directories.resize(3);
  const auto small =
      plan_root(spec, {.bundle = "/b", .overlay = overlay, .overlay_mount_point = "/m"});
  EXPECT_EQ(small->root.options.parameters.size(), 1U);
}

TEST(Plan, AnOverlayIsWritableOnlyWithAnUpperDirectory) {
  const auto data = [spec = example()](const OverlayRoot& overlay) {
    const auto root =
        plan_root(spec, {.bundle = "/b", .overlay = overlay, .overlay_mount_point = "/m"});
    return root->root.options.parameters.front().second;
  };
  OverlayRoot overlay{
      .lower_directories = {"/a", "/b"}, .upper_directory = "/u", .work_directory = "/w"};
  EXPECT_EQ(data(overlay), "lowerdir=/a:/b,upperdir=/u,workdir=/w");
  overlay.discarded = true;
  EXPECT_EQ(data(overlay), "lowerdir=/a:/b,upperdir=/u,workdir=/w,volatile");
  EXPECT_EQ(data({.lower_directories = {"/a", "/b"}}), "lowerdir=/a:/b");
}

TEST(Plan, SysctlsOfTheHostAreRefused) {
  oci::Spec spec = example();
  spec.linux_config->sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_EQ(plan_namespaces(spec)->sysctls.front().first, "sys/net/ipv4/ip_forward");
  spec.linux_config->sysctl = {{"vm.overcommit_memory", "1"}};
  const auto refused = plan_namespaces(spec);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("vm.overcommit_memory"));
  std::erase_if(spec.linux_config->namespaces,
                [](const auto& entry) { return entry.type == oci::NamespaceType::kNetwork; });
  spec.linux_config->sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_FALSE(plan_namespaces(spec));
}

TEST(Plan, WhatIsNotSupportedNamesTheField) {
  oci::Spec spec = example();
  spec.vm.emplace();
  const auto refused = check_supported(spec);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("vm"));
}

TEST(Plan, CpusAndNodesAreMasks) {
  oci::Process process;
  process.args = {"x"};
  process.exec_cpu_affinity = oci::CpuAffinity{.initial = "0-1", .final_cpus = "3"};
  std::vector<std::string> warnings;
  auto plan = plan_process(process, Powers::kOwn, warnings);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->initial_cpus, (std::vector<uint64_t>{3}));
  EXPECT_EQ(plan->final_cpus, (std::vector<uint64_t>{8}));
  oci::Linux config;
  config.memory_policy =
      oci::MemoryPolicy{.mode = "MPOL_BIND", .nodes = "0,2", .flags = {"MPOL_F_STATIC_NODES"}};
  ASSERT_TRUE(plan_linux_process(config, *plan));
  EXPECT_EQ(plan->memory_policy, 2U | 1U << 15U);
  EXPECT_EQ(plan->memory_nodes, (std::vector<uint64_t>{5}));
  process.exec_cpu_affinity->final_cpus = "all";
  const auto refused = plan_process(process, Powers::kOwn, warnings);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("process.execCPUAffinity.final"));
}

TEST(Plan, RootOfAUserNamespaceGetsWhatItsCreatorLacks) {
  oci::Process process;
  process.args = {"x"};
  process.capabilities = oci::Capabilities{.bounding = {"CAP_SYS_RESOURCE", "CAP_SYS_ADMIN"}};
  std::vector<std::string> warnings;
  const auto plan = plan_process(process, Powers::kAll, warnings);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(plan->capabilities.bounding, 1U << 24U | 1U << 21U);
}

TEST(Plan, ACapabilityThatCantBeGrantedIsAWarning) {
  oci::Process process;
  process.args = {"x"};
  process.capabilities = oci::Capabilities{.bounding = {"CAP_NONSENSE"}};
  std::vector<std::string> warnings;
  const auto plan = plan_process(process, Powers::kOwn, warnings);
  ASSERT_TRUE(plan);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], HasSubstr("CAP_NONSENSE"));
}

TEST(Plan, AGroupThatIsNamedTwiceIsSetOnce) {
  oci::Process process;
  process.args = {"x"};
  process.user.additional_gids = {2000, 5, 2000};
  std::vector<std::string> warnings;
  const auto plan = plan_process(process, Powers::kOwn, warnings);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->groups, testing::ElementsAre(5, 2000));
}

TEST(Encode, TheBlobIsSelfDescribing) {
  std::vector<std::string> warnings;
  const oci::Spec spec = example();
  const auto process = plan_process(*spec.process, Powers::kOwn, warnings);
  const std::string blob = encode({.process = &*process}, {.sync = 7});
  stage::Plan head{};
  ASSERT_GE(blob.size(), sizeof head);
  std::memcpy(&head, blob.data(), sizeof head);
  EXPECT_EQ(head.magic, stage::kMagic);
  EXPECT_EQ(head.size, blob.size());
  EXPECT_EQ(head.sync_fd, 7);
  EXPECT_EQ(head.argv.count, spec.process->args.size() + 1);
  EXPECT_LE(head.scratch + 4096U, blob.size());
}

TEST(Failure, ProgramErrorsKeepTheWordsThatEnginesLookFor) {
  ProcessPlan process;
  process.args = {"nosuch"};
  const auto words = [&](stage::Step step, int error) {
    return describe_failure({.kind = stage::MessageKind::kError, .step = step, .error = error},
                            {.process = &process});
  };
  EXPECT_EQ(words(stage::Step::kFindProgram, ENOENT).code(), ErrorCode::kCommandNotFound);
  EXPECT_THAT(words(stage::Step::kFindProgram, ENOENT).message(),
              HasSubstr("executable file not found in $PATH"));
  process.args = {"/bin/x"};
  EXPECT_THAT(words(stage::Step::kFindProgram, ENOENT).message(),
              HasSubstr("no such file or directory"));
  EXPECT_THAT(words(stage::Step::kExec, EACCES).message(), HasSubstr("permission denied"));
  EXPECT_EQ(words(stage::Step::kExec, ENOEXEC).code(), ErrorCode::kCommandNotExecutable);
}

TEST(Failure, AMountErrorNamesBothEnds) {
  RootPlan root;
  root.mounts.push_back({.kind = stage::MountKind::kBind, .source = "/src", .target = "/dst"});
  const Error error = describe_failure({.kind = stage::MessageKind::kError,
                                        .step = stage::Step::kMount,
                                        .error = ENOENT,
                                        .operand = 0,
                                        .call = stage::Call::kOpenSource},
                                       {.root = &root});
  EXPECT_EQ(error.message(),
            "mount \"/src\" on \"/dst\": open the source: No such file or directory [ENOENT]");
}

TEST(ContainerId, IsCheckedAsRuncAndCrunDo) {
  for (const char* good : {"a", "A-b_c+d.e", "0"}) EXPECT_TRUE(check_id(good)) << good;
  for (const char* bad : {"", ".", "..", "a/b", "-a", "a b", "\xc3\xa9"}) {
    EXPECT_FALSE(check_id(bad)) << bad;
  }
  EXPECT_TRUE(check_id(std::string(128, 'a')));
  EXPECT_FALSE(check_id(std::string(129, 'a')));
}

TEST(Record, SurvivesItsJson) {
  Container::Record record;
  record.id = "x";
  record.bundle = "/b \"quoted\"";
  record.init = {.pid = 12, .start_ticks = 34};
  record.created = Timestamp(std::chrono::seconds(1700000000));
  record.annotations = {{"k", "v"}};
  record.cgroup_paths = cgroup::Paths{.mode = cgroup::Mode::kV2, .directories = {"/d"}};
  const auto again = parse_record(print_record(record));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->bundle, record.bundle);
  EXPECT_EQ(again->init, record.init);
  EXPECT_EQ(again->created, record.created);
  EXPECT_EQ(again->cgroup_paths->mode, cgroup::Mode::kV2);
  EXPECT_EQ(again->cgroup_paths->directories, record.cgroup_paths->directories);
}

TEST(Record, DamagedJsonIsAnError) {
  EXPECT_FALSE(parse_record("{\"id\": 5}"));
  EXPECT_FALSE(parse_record(""));
}

TEST(Home, ComesFromThePasswdOfTheRootUnlessGiven) {
  std::vector<std::string> env{"HOME=/mine"};
  add_home(AT_FDCWD, 0, env);
  EXPECT_EQ(env.size(), 1U);
}

oci::Spec with_cgroup_mount(std::vector<std::string> options, uint32_t uid) {
  oci::Spec spec = example();
  std::erase_if(spec.mounts, [](const oci::Mount& mount) { return mount.type == "cgroup"; });
  spec.mounts.push_back({.destination = "/sys/fs/cgroup",
                         .type = "cgroup",
                         .source = "cgroup",
                         .options = std::move(options),
                         .uid_mappings = {},
                         .gid_mappings = {}});
  spec.process->user.uid = uid;
  return spec;
}

TEST(CgroupOwner, IsTheUserOfAWritableMount) {
  EXPECT_EQ(find_cgroup_owner(with_cgroup_mount({"nosuid"}, 1000)), 1000U);
  EXPECT_EQ(find_cgroup_owner(with_cgroup_mount({"nosuid"}, 0)), std::nullopt);
  EXPECT_EQ(find_cgroup_owner(with_cgroup_mount({"nosuid", "ro"}, 1000)), std::nullopt);
}

TEST(CgroupOwner, IsAsTheHostSeesIt) {
  oci::Spec spec = with_cgroup_mount({}, 5);
  spec.linux_config->namespaces.push_back({.type = oci::NamespaceType::kUser, .path = ""});
  spec.linux_config->uid_mappings = {{.container_id = 0, .host_id = 100000, .size = 6}};
  EXPECT_EQ(find_cgroup_owner(spec), 100005U);
  spec.process->user.uid = 6;
  EXPECT_EQ(find_cgroup_owner(spec), std::nullopt);
}

TEST(CgroupOwner, NeedsACgroupNamespace) {
  oci::Spec spec = with_cgroup_mount({}, 1000);
  std::erase_if(spec.linux_config->namespaces, [](const oci::Namespace& entry) {
    return entry.type == oci::NamespaceType::kCgroup;
  });
  EXPECT_EQ(find_cgroup_owner(spec), std::nullopt);
}

TEST(Record, RemembersTheScope) {
  Container::Record record;
  record.id = "web";
  record.cgroup_driver = cgroup::Driver::kSystemd;
  record.cgroup_paths.emplace();
  record.cgroup_paths->directories = {"/sys/fs/cgroup/user.slice/a-web.scope"};
  record.cgroup_paths->scope = {.unit = "a-web.scope", .slice = "user.slice", .of_user = true};
  const auto read = parse_record(print_record(record));
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_TRUE(read->cgroup_paths && read->cgroup_paths->scope);
  EXPECT_EQ(read->cgroup_driver, cgroup::Driver::kSystemd);
  EXPECT_EQ(read->cgroup_paths->scope->unit, "a-web.scope");
  EXPECT_EQ(read->cgroup_paths->scope->slice, "user.slice");
  EXPECT_TRUE(read->cgroup_paths->scope->of_user);
}

}  // namespace
}  // namespace trivet::container
