#include "linux/cgroup_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::cgroup {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// "controller/file=value", one for each setting.
std::vector<std::string> print(const Result<std::vector<Setting>>& settings) {
  std::vector<std::string> lines;
  if (!settings) return {settings.error().message()};
  for (const Setting& setting : *settings) {
    std::string line = setting.controller;
    for (const ControlWrite& write : setting.writes) line += " " + write.file + "=" + write.value;
    lines.push_back(line);
  }
  return lines;
}

oci::Resources with_memory(const oci::MemoryResources& memory) {
  oci::Resources resources;
  resources.memory = memory;
  return resources;
}

oci::Resources with_cpu(const oci::CpuResources& cpu) {
  oci::Resources resources;
  resources.cpu = cpu;
  return resources;
}

TEST(Conversion, SharesToWeight) {
  EXPECT_EQ(cpu_weight_of_shares(2), 1U);
  EXPECT_EQ(cpu_weight_of_shares(1024), 100U);
  EXPECT_EQ(cpu_weight_of_shares(262144), 10000U);
  EXPECT_EQ(cpu_weight_of_shares(512), 59U);
}

TEST(Conversion, BlkioToIoWeight) {
  EXPECT_EQ(io_weight_of_blkio(10), 1U);
  EXPECT_EQ(io_weight_of_blkio(1000), 10000U);
  EXPECT_EQ(io_weight_of_blkio(500), 4950U);
}

TEST(PlanMemory, LimitAndSwap) {
  const oci::Resources resources = with_memory({.limit = 100, .reservation = 50, .swap = 300});
  EXPECT_THAT(print(plan_v1(resources)), ElementsAre("memory memory.limit_in_bytes=100",
                                                     "memory memory.memsw.limit_in_bytes=300",
                                                     "memory memory.soft_limit_in_bytes=50"));
  EXPECT_THAT(
      print(plan_v2(resources)),
      ElementsAre("memory memory.swap.max=200", "memory memory.max=100", "memory memory.low=50"));
}

TEST(PlanMemory, UnlimitedLiftsSwapToo) {
  const oci::Resources resources = with_memory({.limit = -1});
  EXPECT_THAT(print(plan_v1(resources)), ElementsAre("memory memory.limit_in_bytes=-1",
                                                     "memory memory.memsw.limit_in_bytes=-1"));
  EXPECT_THAT(print(plan_v2(resources)),
              ElementsAre("memory memory.swap.max=max", "memory memory.max=max"));
}

TEST(PlanMemory, SwapWithoutMemoryOrBelowItIsInvalid) {
  EXPECT_EQ(plan_v2(with_memory({.swap = 5})).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(plan_v2(with_memory({.limit = 6, .swap = 5})).error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(plan_v1(with_memory({.limit = 6, .swap = 5})).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST(PlanMemory, WhatOnlyV1HasIsNamed) {
  EXPECT_THAT(print(plan_v1(with_memory({.swappiness = 60, .disable_oom_killer = true}))),
              ElementsAre("memory memory.swappiness=60", "memory memory.oom_control=1"));
  const auto refused = plan_v2(with_memory({.swappiness = 60}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(refused.error().message(), HasSubstr("linux.resources.memory.swappiness"));
  EXPECT_FALSE(plan_v2(with_memory({.disable_oom_killer = true})));
  EXPECT_TRUE(plan_v2(with_memory({.disable_oom_killer = false})));
  EXPECT_TRUE(plan_v2(with_memory({.swappiness = UINT64_MAX})));  // -1: not set
}

TEST(PlanCpu, QuotaAndPeriod) {
  const oci::Resources both = with_cpu({.quota = 50000, .period = 100000});
  EXPECT_THAT(print(plan_v1(both)),
              ElementsAre("cpu cpu.cfs_period_us=100000", "cpu cpu.cfs_quota_us=50000"));
  EXPECT_THAT(print(plan_v2(both)), ElementsAre("cpu cpu.max=50000 100000"));
  EXPECT_THAT(print(plan_v2(with_cpu({.quota = -1}))), ElementsAre("cpu cpu.max=max"));
  const auto period = plan_v2(with_cpu({.period = 5000}));
  EXPECT_THAT(print(period), ElementsAre("cpu cpu.max=5000"));
  EXPECT_TRUE(period->front().keep_first_word);
}

TEST(PlanCpu, SharesOutOfRangeAreRefused) {
  EXPECT_FALSE(plan_v1(with_cpu({.shares = 1})));
  EXPECT_FALSE(plan_v2(with_cpu({.shares = 262145})));
  EXPECT_THAT(print(plan_v2(with_cpu({.shares = 1024}))), ElementsAre("cpu cpu.weight=100"));
}

TEST(PlanCpu, RealtimeIsV1Only) {
  const oci::Resources resources =
      with_cpu({.realtime_runtime = 10, .realtime_period = 100, .cpus = "0-1", .mems = "0"});
  EXPECT_THAT(print(plan_v1(resources)),
              ElementsAre("cpu cpu.rt_period_us=100", "cpu cpu.rt_runtime_us=10",
                          "cpuset cpuset.cpus=0-1", "cpuset cpuset.mems=0"));
  EXPECT_FALSE(plan_v2(resources));
}

TEST(PlanPids, ZeroAndNegativeAreUnlimited) {
  oci::Resources resources;
  for (const int64_t limit : {0, -1}) {
    resources.pids_limit = limit;
    EXPECT_THAT(print(plan_v1(resources)), ElementsAre("pids pids.max=max"));
  }
  resources.pids_limit = 5;
  EXPECT_THAT(print(plan_v2(resources)), ElementsAre("pids pids.max=5"));
}

TEST(PlanBlockIo, WeightsAndThrottles) {
  oci::Resources resources;
  resources.block_io = oci::BlockIoResources{
      .weight = 500, .weight_device = {{8, 0, 10, {}}}, .throttle_read_bps = {{8, 16, 1000}}};
  EXPECT_THAT(print(plan_v1(resources)),
              ElementsAre("blkio blkio.weight=500 blkio.bfq.weight=500",
                          "blkio blkio.weight_device=8:0 10 blkio.bfq.weight_device=8:0 10",
                          "blkio blkio.throttle.read_bps_device=8:16 1000"));
  EXPECT_THAT(print(plan_v2(resources)),
              ElementsAre("io io.bfq.weight=500 io.weight=4950",
                          "io io.bfq.weight=8:0 10 io.weight=8:0 1", "io io.max=8:16 rbps=1000"));
}

TEST(PlanOthers, HugepagesNetworkRdmaUnified) {
  oci::Resources resources;
  resources.hugepage_limits = {{"2MB", 4096}};
  resources.rdma["mlx5"] = {.hca_handles = 2, .hca_objects = 3};
  EXPECT_THAT(print(plan_v1(resources)),
              ElementsAre("hugetlb hugetlb.2MB.limit_in_bytes=4096",
                          "hugetlb hugetlb.2MB.rsvd.limit_in_bytes=4096",
                          "rdma rdma.max=mlx5 hca_handle=2 hca_object=3"));
  resources.unified["io.max"] = "8:0 rbps=1\n8:16 rbps=2\n";
  EXPECT_THAT(print(plan_v2(resources)),
              ElementsAre("hugetlb hugetlb.2MB.max=4096", "hugetlb hugetlb.2MB.rsvd.max=4096",
                          "rdma rdma.max=mlx5 hca_handle=2 hca_object=3", "io io.max=8:0 rbps=1",
                          "io io.max=8:16 rbps=2"));
  resources.unified["../evil.file"] = "1";
  EXPECT_FALSE(plan_v2(resources));
}

TEST(PlanOthers, NetworkIsV1Only) {
  oci::Resources resources;
  resources.network = oci::NetworkResources{.class_id = 7, .priorities = {{"eth0", 3}}};
  EXPECT_THAT(print(plan_v1(resources)),
              ElementsAre("net_cls net_cls.classid=7", "net_prio net_prio.ifpriomap=eth0 3"));
  const auto refused = plan_v2(resources);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("linux.resources.network.classID"));
}

TEST(PlanOthers, BadPageSizeIsInvalid) {
  oci::Resources resources;
  resources.hugepage_limits = {{"../2MB", 1}};
  EXPECT_EQ(plan_v1(resources).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace trivet::cgroup
