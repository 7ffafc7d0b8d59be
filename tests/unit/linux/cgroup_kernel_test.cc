// The cgroup module against the running kernel: needs root and a cgroup file system.
#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/text.h"
#include "linux/cgroup.h"

namespace trivet::cgroup {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr int64_t kMiB = 1 << 20;

class CgroupKernel : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      if (std::getenv("CI") != nullptr) FAIL() << "needs root, which CI promises";
      GTEST_SKIP() << "needs root";
    }
    auto layout = Layout::detect();
    ASSERT_TRUE(layout) << layout.error().message();
    layout_ = *layout;
  }

  void TearDown() override {
    for (const pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    for (const Paths& paths : made_) EXPECT_TRUE(Cgroup::attach(paths).remove());
  }

  static std::string unique_name() {
    static std::atomic<int> count{0};
    return fmt::format("trivet-test-{}-{}", getpid(), ++count);
  }

  Cgroup make(const std::string& path) { return make_in(layout_, path); }
  Cgroup make() { return make("/" + unique_name()); }
  Cgroup make_in(const Layout& layout, const std::string& path) {
    auto cgroup = Cgroup::create(layout, path, "unused");
    EXPECT_TRUE(cgroup) << cgroup.error().message();
    made_.push_back(cgroup->paths());
    return *cgroup;
  }

  // A child that joins the cgroup and runs `body`; its result is the exit code.
  pid_t spawn(const Cgroup& cgroup, const std::function<int()>& body) {
    const auto fds = cgroup.open_join_fds();
    EXPECT_TRUE(fds) << fds.error().message();
    const pid_t child = fork();
    if (child == 0) {
      for (const UniqueFd& fd : *fds) {
        if (write(fd.get(), "0", 1) != 1) _exit(99);
      }
      _exit(body());
    }
    children_.push_back(child);
    return child;
  }

  int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    std::erase(children_, child);
    return status;
  }

  static int sleep_forever() {
    for (;;) pause();
  }

  // Waits until the cgroup holds `count` processes.
  static void wait_for_count(const Cgroup& cgroup, size_t count) {
    for (int i = 0; i < 1000 && cgroup.processes()->size() != count; ++i) usleep(1000);
    EXPECT_THAT(*cgroup.processes(), SizeIs(count));
  }

  // A control file: the v1 name, or the v2 one on such a host.
  std::string read(const Cgroup& cgroup, const std::string& controller, const std::string& v1_file,
                   const std::string& v2_file) const {
    const std::string& directory = cgroup.paths().by_controller.at(controller);
    const bool v2 = layout_.mode == Mode::kV2;
    const auto text = read_file(directory + "/" + (v2 ? v2_file : v1_file));
    return text ? std::string(trim(*text)) : text.error().message();
  }

  static void apply(Cgroup& cgroup, const oci::Resources& resources) {
    const auto applied = cgroup.apply(resources);
    EXPECT_TRUE(applied) << applied.error().message();
  }

  Layout layout_;
  std::vector<Paths> made_;
  std::vector<pid_t> children_;
};

TEST_F(CgroupKernel, CreateMakesEveryDirectoryAndRemoveLeavesNone) {
  const Cgroup cgroup = make();
  for (const std::string& directory : cgroup.paths().directories) EXPECT_TRUE(exists(directory));
  ASSERT_TRUE(cgroup.remove());
  for (const std::string& directory : cgroup.paths().directories) EXPECT_FALSE(exists(directory));
  EXPECT_TRUE(cgroup.remove());  // again is fine
}

TEST_F(CgroupKernel, EmptyPathIsNamedAfterTheId) {
  const std::string name = unique_name();
  const auto cgroup = Cgroup::create(layout_, "", name);
  ASSERT_TRUE(cgroup);
  made_.push_back(cgroup->paths());
  EXPECT_TRUE(cgroup->paths().directories.front().ends_with("/trivet-" + name));
}

TEST_F(CgroupKernel, PathInUseIsRefusedAndKept) {
  const std::string path = "/" + unique_name();
  const Cgroup cgroup = make(path);
  spawn(cgroup, sleep_forever);
  wait_for_count(cgroup, 1);
  const auto second = Cgroup::create(layout_, path, "x");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_TRUE(exists(cgroup.paths().directories.front()));
}

TEST_F(CgroupKernel, EmptyLeftoverIsUsedAgain) {
  const std::string path = "/" + unique_name();
  make(path);
  EXPECT_TRUE(Cgroup::create(layout_, path, "x"));
}

TEST_F(CgroupKernel, BadPathsAreRefused) {
  for (const char* path : {"/", "/a/../../b", "..", "//."}) {
    const auto cgroup = Cgroup::create(layout_, path, "x");
    ASSERT_FALSE(cgroup) << path;
    EXPECT_EQ(cgroup.error().code(), ErrorCode::kInvalidArgument);
  }
  const auto systemd = Cgroup::create(layout_, "/x", "x", Driver::kSystemd);
  ASSERT_FALSE(systemd);
  EXPECT_EQ(systemd.error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(CgroupKernel, MadeParentsGoWithTheLastContainer) {
  const std::string parent = "/" + unique_name();
  const Cgroup first = make(parent + "/inner/a");
  const Cgroup second = make(parent + "/inner/b");
  const std::string parent_directory =
      first.paths().directories.front().substr(0, first.paths().directories.front().size() - 8);
  ASSERT_TRUE(first.remove());
  EXPECT_TRUE(exists(parent_directory));
  ASSERT_TRUE(second.remove());
  EXPECT_FALSE(exists(parent_directory));
}

TEST_F(CgroupKernel, ParentsOfOthersStay) {
  const std::string parent = "/" + unique_name();
  std::vector<std::string> directories;
  for (const Hierarchy& hierarchy : layout_.hierarchies) {
    if (layout_.mode == Mode::kHybrid && hierarchy.v2) continue;
    directories.push_back(hierarchy.mount_point + parent);
    ASSERT_EQ(mkdir(directories.back().c_str(), 0755), 0);
  }
  ASSERT_TRUE(make(parent + "/a").remove());
  for (const std::string& directory : directories) EXPECT_EQ(rmdir(directory.c_str()), 0);
}

TEST_F(CgroupKernel, ConcurrentContainersShareAParent) {
  const std::string parent = "/" + unique_name();
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        auto cgroup = Cgroup::create(layout_, fmt::format("{}/{}", parent, t), "x");
        if (!cgroup || !cgroup->remove()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_FALSE(exists(layout_.hierarchies.front().mount_point + parent));
}

TEST_F(CgroupKernel, MemoryLimitRisesAndFalls) {
  Cgroup cgroup = make();
  for (const int64_t limit : {64 * kMiB, 128 * kMiB, 32 * kMiB}) {
    oci::Resources resources;
    resources.memory = oci::MemoryResources{.limit = limit, .swap = 2 * limit};
    apply(cgroup, resources);
    EXPECT_EQ(read(cgroup, "memory", "memory.limit_in_bytes", "memory.max"),
              fmt::format("{}", limit));
    EXPECT_EQ(cgroup.stats()->memory_limit, static_cast<uint64_t>(limit));
  }
  oci::Resources resources;
  resources.memory = oci::MemoryResources{.limit = -1};
  apply(cgroup, resources);
  EXPECT_EQ(cgroup.stats()->memory_limit, UINT64_MAX);
}

TEST_F(CgroupKernel, CheckBeforeUpdateKeepsARunningContainerAlive) {
  Cgroup cgroup = make();
  const pid_t child = spawn(cgroup, [] {
    void* memory =
        mmap(nullptr, 16 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(memory, 1, 16 * kMiB);
    return sleep_forever();
  });
  for (int i = 0; i < 1000 && cgroup.stats()->memory_usage < 16 * kMiB; ++i) usleep(1000);
  oci::Resources resources;
  resources.memory = oci::MemoryResources{.limit = kMiB, .check_before_update = true};
  const auto applied = cgroup.apply(resources);
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message(), HasSubstr("linux.resources.memory.limit"));
  EXPECT_EQ(kill(child, 0), 0);
}

TEST_F(CgroupKernel, CpuLimitsAreSet) {
  Cgroup cgroup = make();
  oci::Resources resources;
  resources.cpu = oci::CpuResources{.shares = 1024, .quota = 50000, .period = 100000, .cpus = "0"};
  apply(cgroup, resources);
  EXPECT_EQ(read(cgroup, "cpu", "cpu.cfs_quota_us", "cpu.max").substr(0, 5), "50000");
  EXPECT_EQ(read(cgroup, "cpu", "cpu.shares", "cpu.weight"),
            layout_.mode == Mode::kV2 ? "100" : "1024");
  EXPECT_EQ(read(cgroup, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
  // Both change at once, and neither order alone would do.
  resources.cpu = oci::CpuResources{.quota = 1000, .period = 5000};
  apply(cgroup, resources);
  resources.cpu = oci::CpuResources{.quota = 500000, .period = 1000000};
  apply(cgroup, resources);
}

TEST_F(CgroupKernel, ACpusetComesWithTheFirstLimitOnIt) {
  if (layout_.mode == Mode::kV2) GTEST_SKIP() << "cgroup v2 has one hierarchy";
  const auto own = std::ranges::find_if(layout_.hierarchies, [](const Hierarchy& hierarchy) {
    return hierarchy.controllers == std::vector<std::string>{"cpuset"};
  });
  ASSERT_NE(own, layout_.hierarchies.end());
  const std::string beside_us = (own->own_path == "/" ? "" : own->own_path) + "/" + unique_name();
  auto cgroup = Cgroup::create(layout_, beside_us, "x", Driver::kCgroupfs, Cpuset::kWhenLimited);
  ASSERT_TRUE(cgroup) << cgroup.error().message();
  const std::string directory = cgroup->paths().by_controller.at("cpuset");
  EXPECT_FALSE(exists(directory));
  const pid_t child = spawn(*cgroup, sleep_forever);
  wait_for_count(*cgroup, 1);
  oci::Resources resources;
  resources.cpu = oci::CpuResources{.cpus = "0"};
  apply(*cgroup, resources);
  made_.push_back(cgroup->paths());
  EXPECT_EQ(read(*cgroup, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
  EXPECT_EQ(read(*cgroup, "cpuset", "cgroup.procs", ""), fmt::format("{}", child));
  ASSERT_TRUE(cgroup->kill_all());
  wait_for(child);
  ASSERT_TRUE(cgroup->remove());
  EXPECT_FALSE(exists(directory));
}

// Somebody may have limited what is above it.
TEST_F(CgroupKernel, ACpusetBelowAnotherOneIsAlwaysMade) {
  if (layout_.mode == Mode::kV2) GTEST_SKIP() << "cgroup v2 has one hierarchy";
  const auto cgroup = Cgroup::create(layout_, "/" + unique_name() + "/below", "x",
                                     Driver::kCgroupfs, Cpuset::kWhenLimited);
  ASSERT_TRUE(cgroup) << cgroup.error().message();
  made_.push_back(cgroup->paths());
  EXPECT_TRUE(exists(cgroup->paths().by_controller.at("cpuset")));
}

// Whoever is born after it joins it by itself.
TEST_F(CgroupKernel, TheTreeThatALimitNeedsIsThereBeforeTheFirstProcess) {
  if (layout_.mode != Mode::kHybrid) GTEST_SKIP() << "needs a hybrid host";
  oci::Resources resources;
  resources.hugepage_limits = {{.page_size = "2MB", .limit = 2 * kMiB}};
  Cgroup cgroup = make();
  ASSERT_TRUE(cgroup.prepare(resources));
  made_.back() = cgroup.paths();
  const std::string directory = cgroup.paths().by_controller.at("unified");
  EXPECT_TRUE(exists(directory));
  const pid_t child = spawn(cgroup, sleep_forever);
  const auto inside = [&] { return read(cgroup, "unified", "cgroup.procs", ""); };
  for (int i = 0; i < 1000 && inside().empty(); ++i) usleep(1000);
  EXPECT_EQ(inside(), fmt::format("{}", child));
  apply(cgroup, resources);
}

TEST_F(CgroupKernel, PidsLimitMakesForkFail) {
  Cgroup cgroup = make();
  oci::Resources resources;
  resources.pids_limit = 2;
  apply(cgroup, resources);
  const pid_t child = spawn(cgroup, [] {
    const pid_t first = fork();
    if (first == 0) sleep_forever();
    const pid_t second = fork();
    if (second == 0) _exit(0);
    const int code = second < 0 && errno == EAGAIN ? 7 : 8;
    kill(first, SIGKILL);
    return code;
  });
  EXPECT_EQ(WEXITSTATUS(wait_for(child)), 7);
  EXPECT_EQ(cgroup.stats()->pids_limit, 2U);
  resources.pids_limit = -1;
  apply(cgroup, resources);
  EXPECT_EQ(cgroup.stats()->pids_limit, 0U);
}

TEST_F(CgroupKernel, DevicesAreDenied) {
  Cgroup cgroup = make();
  oci::Resources resources;
  resources.devices = {{false, 'a', {}, {}, "rwm"}};
  apply(cgroup, resources);
  const std::string node = fmt::format("/tmp/trivet-test-kmsg-{}", getpid());
  ASSERT_EQ(mknod(node.c_str(), S_IFCHR | 0600, makedev(1, 11)), 0);
  const auto try_open = [&](const char* path) {
    return WEXITSTATUS(
        wait_for(spawn(cgroup, [&] { return open(path, O_RDWR | O_CLOEXEC) < 0 ? errno : 0; })));
  };
  EXPECT_EQ(try_open("/dev/null"), 0);
  EXPECT_EQ(try_open(node.c_str()), EPERM);
  resources.devices.push_back({true, 'c', 1, 11, "rw"});
  apply(cgroup, resources);
  EXPECT_EQ(try_open(node.c_str()), 0);
  resources.devices.pop_back();
  apply(cgroup, resources);
  EXPECT_EQ(try_open(node.c_str()), EPERM);
  unlink(node.c_str());
}

TEST_F(CgroupKernel, FreezeStopsAndThawContinues) {
  const Cgroup cgroup = make();
  std::array<int, 2> pipe_fds{};
  ASSERT_EQ(pipe2(pipe_fds.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const UniqueFd reader(pipe_fds[0]);
  const UniqueFd writer(pipe_fds[1]);
  spawn(cgroup, [&] {
    for (;;) {
      (void)!write(writer.get(), "x", 1);
      usleep(1000);
    }
    return 0;
  });
  const auto readable = [&](int milliseconds) {
    pollfd poll_fd{reader.get(), POLLIN, 0};
    return poll(&poll_fd, 1, milliseconds) == 1;
  };
  ASSERT_TRUE(readable(5000));
  ASSERT_TRUE(cgroup.freeze());
  EXPECT_TRUE(cgroup.is_frozen().value());
  std::array<char, 65536> drain{};
  while (::read(reader.get(), drain.data(), drain.size()) > 0) {
  }
  EXPECT_FALSE(readable(50));
  ASSERT_TRUE(cgroup.thaw());
  EXPECT_TRUE(readable(5000));
  EXPECT_FALSE(cgroup.is_frozen().value());
}

TEST_F(CgroupKernel, KillAllReachesSubgroupsAndForkers) {
  Cgroup cgroup = make();
  oci::Resources resources;
  resources.pids_limit = 40;
  apply(cgroup, resources);
  spawn(cgroup, [] {
    for (;;) {
      if (fork() == 0) usleep(100);
    }
    return 0;
  });
  Paths inner_paths = cgroup.paths();
  for (std::string& directory : inner_paths.directories) {
    directory += "/inner";
    ASSERT_EQ(mkdir(directory.c_str(), 0755), 0);
  }
  usleep(20000);
  ASSERT_FALSE(cgroup.processes()->empty());
  ASSERT_TRUE(cgroup.kill_all());
  EXPECT_THAT(*cgroup.processes(), SizeIs(0));
  EXPECT_TRUE(cgroup.kill_all());  // nothing left is fine
}

TEST_F(CgroupKernel, OtherSignalsReachEachProcess) {
  const Cgroup cgroup = make();
  const pid_t child = spawn(cgroup, sleep_forever);
  wait_for_count(cgroup, 1);
  ASSERT_TRUE(cgroup.kill_all(SIGTERM));
  EXPECT_EQ(WTERMSIG(wait_for(child)), SIGTERM);
}

TEST_F(CgroupKernel, RemoveKillsWhatIsLeftFrozenToo) {
  const Cgroup cgroup = make();
  const pid_t child = spawn(cgroup, sleep_forever);
  wait_for_count(cgroup, 1);
  ASSERT_TRUE(cgroup.freeze());
  const auto removed = cgroup.remove();
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(WTERMSIG(wait_for(child)), SIGKILL);
  for (const std::string& directory : cgroup.paths().directories) EXPECT_FALSE(exists(directory));
}

TEST_F(CgroupKernel, AddProcessMovesAnother) {
  const Cgroup from = make();
  const Cgroup to = make();
  const pid_t child = spawn(from, sleep_forever);
  wait_for_count(from, 1);
  ASSERT_TRUE(to.add_process(child));
  EXPECT_THAT(*from.processes(), SizeIs(0));
  EXPECT_THAT(*to.processes(), SizeIs(1));
}

TEST_F(CgroupKernel, OutOfMemoryIsSeen) {
  Cgroup cgroup = make();
  oci::Resources resources;
  resources.memory = oci::MemoryResources{.limit = 8 * kMiB, .swap = 8 * kMiB};
  apply(cgroup, resources);
  const auto watch = cgroup.watch_oom();
  ASSERT_TRUE(watch) << watch.error().message();
  ASSERT_TRUE(watch->valid());
  const pid_t child = spawn(cgroup, [] {
    void* memory =
        mmap(nullptr, 64 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(memory, 1, 64 * kMiB);
    return 0;
  });
  EXPECT_EQ(WTERMSIG(wait_for(child)), SIGKILL);
  pollfd poll_fd{watch->get(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 5000), 1);
  EXPECT_GE(cgroup.stats()->oom_kills, 1U);
  EXPECT_GE(cgroup.stats()->memory_peak, static_cast<uint64_t>(7 * kMiB));
}

TEST_F(CgroupKernel, StatsCount) {
  const Cgroup cgroup = make();
  spawn(cgroup, [] {
    void* memory =
        mmap(nullptr, 4 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < 20; ++round) std::memset(memory, round, 4 * kMiB);
    return sleep_forever();
  });
  for (int i = 0; i < 2000 && cgroup.stats()->memory_usage < 4 * kMiB; ++i) usleep(1000);
  const auto stats = cgroup.stats();
  ASSERT_TRUE(stats) << stats.error().message();
  EXPECT_GE(stats->cpu_usage_ns, 100'000U);
  EXPECT_EQ(stats->pids, 1U);
  EXPECT_GE(stats->memory_usage, static_cast<uint64_t>(4 * kMiB));
  EXPECT_EQ(stats->memory_limit, UINT64_MAX);
  EXPECT_FALSE(stats->memory_details.empty());
}

TEST_F(CgroupKernel, MissingControllerNamesTheField) {
  Layout poor = layout_;
  for (Hierarchy& hierarchy : poor.hierarchies) {
    std::erase(hierarchy.controllers, "hugetlb");
    std::erase(hierarchy.controllers, "rdma");
  }
  Cgroup cgroup = make_in(poor, "/" + unique_name());
  apply(cgroup, {});  // nothing needs them
  oci::Resources resources;
  resources.hugepage_limits = {{"2MB", 1}};
  const auto applied = cgroup.apply(resources);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(applied.error().message(), HasSubstr("linux.resources.hugepageLimits: "));
}

TEST_F(CgroupKernel, MissingDirectoriesAreAnEmptyCgroup) {
  const Cgroup cgroup = make();
  ASSERT_TRUE(cgroup.remove());
  EXPECT_THAT(cgroup.processes().value(), SizeIs(0));
  EXPECT_TRUE(cgroup.kill_all());
  EXPECT_FALSE(cgroup.is_frozen().value());
}

// A part of the v2 tree of a hybrid host, which has no controllers there, as a host of its own.
class CgroupV2Kernel : public CgroupKernel {
 protected:
  void SetUp() override {
    CgroupKernel::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const auto v2 = std::ranges::find_if(layout_.hierarchies, &Hierarchy::v2);
    if (v2 == layout_.hierarchies.end()) GTEST_SKIP() << "needs a cgroup v2 tree";
    root_ = v2->mount_point + "/" + unique_name();
    ASSERT_EQ(mkdir(root_.c_str(), 0755), 0);
    layout_ = {Mode::kV2, {{root_, {}, true, "/"}}};
  }
  void TearDown() override {
    CgroupKernel::TearDown();
    if (!root_.empty()) {
      EXPECT_EQ(rmdir(root_.c_str()), 0);
    }
  }

  std::string root_;
};

TEST_F(CgroupV2Kernel, JoinFreezeKillRemove) {
  const Cgroup cgroup = make("/a/b");
  const pid_t child = spawn(cgroup, sleep_forever);
  wait_for_count(cgroup, 1);
  EXPECT_TRUE(cgroup.v2_directory_fd()->valid());
  ASSERT_TRUE(cgroup.freeze());
  EXPECT_TRUE(cgroup.is_frozen().value());
  ASSERT_TRUE(cgroup.kill_all());
  EXPECT_EQ(WTERMSIG(wait_for(child)), SIGKILL);
  ASSERT_TRUE(cgroup.remove());
  EXPECT_FALSE(exists(root_ + "/a"));
}

TEST_F(CgroupV2Kernel, DeviceProgramDeniesAndIsReplaced) {
  Cgroup cgroup = make("/a");
  const auto open_kmsg = [&] {
    return WEXITSTATUS(wait_for(spawn(cgroup, [] {
      return open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC) < 0 ? errno : 0;
    })));
  };
  const int before = open_kmsg();
  if (before != 0) GTEST_SKIP() << "/dev/kmsg can't be opened here: " << strerror(before);
  oci::Resources resources;
  resources.devices = {{false, 'a', {}, {}, "rwm"}};
  apply(cgroup, resources);
  EXPECT_EQ(open_kmsg(), EPERM);
  resources.devices.push_back({true, 'c', 1, 11, "r"});
  apply(cgroup, resources);
  EXPECT_EQ(open_kmsg(), 0);
}

TEST_F(CgroupV2Kernel, LimitWithoutControllerIsRefused) {
  Cgroup cgroup = make("/a");
  oci::Resources resources;
  resources.pids_limit = 5;
  const auto applied = cgroup.apply(resources);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(applied.error().message(), HasSubstr("linux.resources.pids.limit: "));
}

}  // namespace
}  // namespace trivet::cgroup
