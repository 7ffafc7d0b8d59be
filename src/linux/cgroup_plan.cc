#include "linux/cgroup_plan.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace trivet::cgroup {

namespace {

using Settings = std::vector<Setting>;

constexpr uint64_t kMinShares = 2;
constexpr uint64_t kMaxShares = 262144;

std::string number(auto value) {
  return fmt::format("{}", value);
}
// -1 in the word that the version uses for "no limit".
std::string v2_limit(int64_t value) {
  return value < 0 ? "max" : number(value);
}

void add(Settings& settings, std::string_view field, std::string controller, std::string file,
         std::string value) {
  Setting setting;
  setting.controller = std::move(controller);
  setting.writes.push_back({std::move(file), std::move(value)});
  setting.field = fmt::format("linux.resources.{}", field);
  settings.push_back(std::move(setting));
}

// For limits where zero has always meant "not set" among runtimes.
template <typename T>
bool is_set(const std::optional<T>& value) {
  return value.has_value() && *value != 0;
}

std::unexpected<Error> only_on_v1(std::string_view field) {
  return fail(ErrorCode::kUnsupported, "linux.resources.{}: cgroup v2 has no such limit", field);
}

std::unexpected<Error> invalid(std::string_view field, std::string_view why) {
  return fail(ErrorCode::kInvalidArgument, "linux.resources.{}: {}", field, why);
}

// Docker and Podman write -1 in an unsigned field for "not set".
bool has_swappiness(const oci::MemoryResources& memory) {
  return memory.swappiness && *memory.swappiness != UINT64_MAX;
}

Result<> plan_memory_v1(const oci::MemoryResources& memory, Settings& settings) {
  if (is_set(memory.limit)) {
    add(settings, "memory.limit", "memory", "memory.limit_in_bytes", number(*memory.limit));
    if (memory.check_before_update.value_or(false) && *memory.limit > 0) {
      settings.back().refuse_below_usage = static_cast<uint64_t>(*memory.limit);
    }
  }
  // An unlimited container must not keep the swap limit of its former self.
  const bool lifted = memory.limit == -1 && !is_set(memory.swap);
  if (is_set(memory.swap) || lifted) {
    const int64_t swap = lifted ? -1 : *memory.swap;
    if (swap > 0 && memory.limit.value_or(0) > swap) {
      return invalid("memory.swap", "memory plus swap is less than memory");
    }
    add(settings, "memory.swap", "memory", "memory.memsw.limit_in_bytes", number(swap));
    settings.back().optional = swap < 0;
  }
  if (is_set(memory.reservation)) {
    add(settings, "memory.reservation", "memory", "memory.soft_limit_in_bytes",
        number(*memory.reservation));
  }
  if (is_set(memory.kernel)) {
    add(settings, "memory.kernel", "memory", "memory.kmem.limit_in_bytes", number(*memory.kernel));
    settings.back().optional = *memory.kernel < 0;
  }
  if (is_set(memory.kernel_tcp)) {
    add(settings, "memory.kernelTCP", "memory", "memory.kmem.tcp.limit_in_bytes",
        number(*memory.kernel_tcp));
    settings.back().optional = *memory.kernel_tcp < 0;
  }
  if (has_swappiness(memory)) {
    if (*memory.swappiness > 100) return invalid("memory.swappiness", "more than 100");
    add(settings, "memory.swappiness", "memory", "memory.swappiness", number(*memory.swappiness));
  }
  if (memory.disable_oom_killer) {
    add(settings, "memory.disableOOMKiller", "memory", "memory.oom_control",
        *memory.disable_oom_killer ? "1" : "0");
  }
  if (memory.use_hierarchy) {
    add(settings, "memory.useHierarchy", "memory", "memory.use_hierarchy",
        *memory.use_hierarchy ? "1" : "0");
    settings.back().optional = *memory.use_hierarchy;  // newer kernels always do
  }
  return {};
}

// memory.swap.max is swap alone, the specification's number is memory and swap.
Result<> plan_swap_v2(const oci::MemoryResources& memory, Settings& settings) {
  const int64_t limit = memory.limit.value_or(0);
  int64_t swap = memory.swap.value_or(0);
  if (swap == 0 && limit != -1) return {};
  if (swap == 0) swap = -1;
  if (swap > 0 && limit <= 0) {
    return invalid("memory.swap", "needs memory.limit: cgroup v2 limits swap alone");
  }
  if (swap > 0 && swap < limit) {
    return invalid("memory.swap", "memory plus swap is less than memory");
  }
  const std::string value = swap < 0 ? "max" : number(swap - limit);
  add(settings, "memory.swap", "memory", "memory.swap.max", value);
  settings.back().optional = value == "max" || value == "0";
  return {};
}

Result<> plan_memory_v2(const oci::MemoryResources& memory, Settings& settings) {
  if (is_set(memory.kernel) && *memory.kernel > 0) return only_on_v1("memory.kernel");
  if (is_set(memory.kernel_tcp) && *memory.kernel_tcp > 0) return only_on_v1("memory.kernelTCP");
  if (has_swappiness(memory)) return only_on_v1("memory.swappiness");
  if (memory.disable_oom_killer.value_or(false)) return only_on_v1("memory.disableOOMKiller");
  if (!memory.use_hierarchy.value_or(true)) return only_on_v1("memory.useHierarchy");
  TRY(plan_swap_v2(memory, settings));
  if (is_set(memory.limit)) {
    add(settings, "memory.limit", "memory", "memory.max", v2_limit(*memory.limit));
    if (memory.check_before_update.value_or(false) && *memory.limit > 0) {
      settings.back().refuse_below_usage = static_cast<uint64_t>(*memory.limit);
    }
  }
  if (is_set(memory.reservation)) {
    add(settings, "memory.reservation", "memory", "memory.low", v2_limit(*memory.reservation));
  }
  return {};
}

// The kernel would clamp silently.
Result<> check_shares(const oci::CpuResources& cpu) {
  if (!is_set(cpu.shares)) return {};
  if (*cpu.shares < kMinShares) return invalid("cpu.shares", "the minimum allowed cpu-shares is 2");
  if (*cpu.shares > kMaxShares) {
    return invalid("cpu.shares", "the maximum allowed cpu-shares is 262144");
  }
  return {};
}

void plan_cpuset(const oci::CpuResources& cpu, Settings& settings) {
  if (!cpu.cpus.empty()) add(settings, "cpu.cpus", "cpuset", "cpuset.cpus", cpu.cpus);
  if (!cpu.mems.empty()) add(settings, "cpu.mems", "cpuset", "cpuset.mems", cpu.mems);
}

Result<> plan_cpu_v1(const oci::CpuResources& cpu, Settings& settings) {
  TRY(check_shares(cpu));
  if (is_set(cpu.shares)) add(settings, "cpu.shares", "cpu", "cpu.shares", number(*cpu.shares));
  if (is_set(cpu.period)) {
    add(settings, "cpu.period", "cpu", "cpu.cfs_period_us", number(*cpu.period));
  }
  if (is_set(cpu.quota)) {
    add(settings, "cpu.quota", "cpu", "cpu.cfs_quota_us",
        number(std::max<int64_t>(*cpu.quota, -1)));
  }
  if (cpu.burst) {
    add(settings, "cpu.burst", "cpu", "cpu.cfs_burst_us", number(*cpu.burst));
    settings.back().optional = *cpu.burst == 0;
  }
  if (is_set(cpu.realtime_period)) {
    add(settings, "cpu.realtimePeriod", "cpu", "cpu.rt_period_us", number(*cpu.realtime_period));
  }
  if (is_set(cpu.realtime_runtime)) {
    add(settings, "cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", number(*cpu.realtime_runtime));
  }
  if (cpu.idle) {
    add(settings, "cpu.idle", "cpu", "cpu.idle", number(*cpu.idle));
    settings.back().optional = *cpu.idle == 0;
  }
  plan_cpuset(cpu, settings);
  return {};
}

void plan_cpu_max(const oci::CpuResources& cpu, Settings& settings) {
  if (is_set(cpu.quota)) {
    std::string value = v2_limit(*cpu.quota);
    if (is_set(cpu.period)) value += " " + number(*cpu.period);
    add(settings, "cpu.quota", "cpu", "cpu.max", std::move(value));
  } else if (is_set(cpu.period)) {
    add(settings, "cpu.period", "cpu", "cpu.max", number(*cpu.period));
    settings.back().keep_first_word = true;
  }
}

Result<> plan_cpu_v2(const oci::CpuResources& cpu, Settings& settings) {
  TRY(check_shares(cpu));
  if (is_set(cpu.realtime_period)) return only_on_v1("cpu.realtimePeriod");
  if (is_set(cpu.realtime_runtime)) return only_on_v1("cpu.realtimeRuntime");
  if (is_set(cpu.shares)) {
    add(settings, "cpu.shares", "cpu", "cpu.weight", number(cpu_weight_of_shares(*cpu.shares)));
  }
  plan_cpu_max(cpu, settings);
  if (cpu.burst) {
    add(settings, "cpu.burst", "cpu", "cpu.max.burst", number(*cpu.burst));
    settings.back().optional = *cpu.burst == 0;
  }
  if (cpu.idle) {
    add(settings, "cpu.idle", "cpu", "cpu.idle", number(*cpu.idle));
    settings.back().optional = *cpu.idle == 0;
  }
  plan_cpuset(cpu, settings);
  return {};
}

std::string device_value(int64_t major, int64_t minor, std::string_view value) {
  return fmt::format("{}:{} {}", major, minor, value);
}

// BFQ's files have the name of the scheduler in them since kernel 5.0.
void add_blkio_weight(Settings& settings, std::string_view field, std::string_view suffix,
                      const std::string& value) {
  add(settings, field, "blkio", fmt::format("blkio.{}", suffix), value);
  settings.back().writes.push_back({fmt::format("blkio.bfq.{}", suffix), value});
}

void plan_throttle_v1(const std::vector<oci::ThrottleDevice>& devices, std::string_view field,
                      std::string_view file, Settings& settings) {
  for (const oci::ThrottleDevice& device : devices) {
    add(settings, fmt::format("blockIO.{}", field), "blkio", fmt::format("blkio.throttle.{}", file),
        device_value(device.major, device.minor, number(device.rate)));
  }
}

void plan_block_io_v1(const oci::BlockIoResources& io, Settings& settings) {
  if (is_set(io.weight)) {
    add_blkio_weight(settings, "blockIO.weight", "weight", number(*io.weight));
  }
  if (is_set(io.leaf_weight)) {
    add_blkio_weight(settings, "blockIO.leafWeight", "leaf_weight", number(*io.leaf_weight));
  }
  for (const oci::WeightDevice& device : io.weight_device) {
    if (is_set(device.weight)) {
      add_blkio_weight(settings, "blockIO.weightDevice", "weight_device",
                       device_value(device.major, device.minor, number(*device.weight)));
    }
    if (is_set(device.leaf_weight)) {
      add_blkio_weight(settings, "blockIO.weightDevice", "leaf_weight_device",
                       device_value(device.major, device.minor, number(*device.leaf_weight)));
    }
  }
  plan_throttle_v1(io.throttle_read_bps, "throttleReadBpsDevice", "read_bps_device", settings);
  plan_throttle_v1(io.throttle_write_bps, "throttleWriteBpsDevice", "write_bps_device", settings);
  plan_throttle_v1(io.throttle_read_iops, "throttleReadIOPSDevice", "read_iops_device", settings);
  plan_throttle_v1(io.throttle_write_iops, "throttleWriteIOPSDevice", "write_iops_device",
                   settings);
}

void plan_throttle_v2(const std::vector<oci::ThrottleDevice>& devices, std::string_view field,
                      std::string_view key, Settings& settings) {
  for (const oci::ThrottleDevice& device : devices) {
    const std::string rate = device.rate == 0 ? "max" : number(device.rate);
    add(settings, fmt::format("blockIO.{}", field), "io", "io.max",
        device_value(device.major, device.minor, fmt::format("{}={}", key, rate)));
  }
}

// io.weight belongs to the cost model (iocost), io.bfq.weight to the BFQ scheduler; a host has
// one of them or none.
Result<> plan_block_io_v2(const oci::BlockIoResources& io, Settings& settings) {
  if (is_set(io.leaf_weight)) return only_on_v1("blockIO.leafWeight");
  if (is_set(io.weight)) {
    add(settings, "blockIO.weight", "io", "io.bfq.weight", number(*io.weight));
    settings.back().writes.push_back({"io.weight", number(io_weight_of_blkio(*io.weight))});
  }
  for (const oci::WeightDevice& device : io.weight_device) {
    if (is_set(device.leaf_weight)) return only_on_v1("blockIO.weightDevice.leafWeight");
    if (!is_set(device.weight)) continue;
    add(settings, "blockIO.weightDevice", "io", "io.bfq.weight",
        device_value(device.major, device.minor, number(*device.weight)));
    settings.back().writes.push_back(
        {"io.weight",
         device_value(device.major, device.minor, number(io_weight_of_blkio(*device.weight)))});
  }
  plan_throttle_v2(io.throttle_read_bps, "throttleReadBpsDevice", "rbps", settings);
  plan_throttle_v2(io.throttle_write_bps, "throttleWriteBpsDevice", "wbps", settings);
  plan_throttle_v2(io.throttle_read_iops, "throttleReadIOPSDevice", "riops", settings);
  plan_throttle_v2(io.throttle_write_iops, "throttleWriteIOPSDevice", "wiops", settings);
  return {};
}

Result<> plan_hugepages(const std::vector<oci::HugepageLimit>& limits, std::string_view suffix,
                        Settings& settings) {
  for (const oci::HugepageLimit& limit : limits) {
    if (limit.page_size.empty() || limit.page_size.find('/') != std::string::npos) {
      return invalid("hugepageLimits", fmt::format("bad page size \"{}\"", limit.page_size));
    }
    add(settings, "hugepageLimits", "hugetlb",
        fmt::format("hugetlb.{}.{}", limit.page_size, suffix), number(limit.limit));
    // Reservations are limited alike, or mmap succeeds and the later fault kills (kernel 5.7).
    add(settings, "hugepageLimits", "hugetlb",
        fmt::format("hugetlb.{}.rsvd.{}", limit.page_size, suffix), number(limit.limit));
    settings.back().optional = true;
  }
  return {};
}

void plan_rdma(const std::map<std::string, oci::RdmaLimit>& limits, Settings& settings) {
  for (const auto& [device, limit] : limits) {
    std::string value = device;
    if (limit.hca_handles) value += fmt::format(" hca_handle={}", *limit.hca_handles);
    if (limit.hca_objects) value += fmt::format(" hca_object={}", *limit.hca_objects);
    add(settings, "rdma", "rdma", "rdma.max", value);
  }
}

void plan_network_v1(const oci::NetworkResources& network, Settings& settings) {
  if (is_set(network.class_id)) {
    add(settings, "network.classID", "net_cls", "net_cls.classid", number(*network.class_id));
  }
  for (const oci::NetworkPriority& entry : network.priorities) {
    add(settings, "network.priorities", "net_prio", "net_prio.ifpriomap",
        fmt::format("{} {}", entry.name, entry.priority));
  }
}

// A file takes one device a write, so every line is a write of its own.
Result<> plan_unified(const std::map<std::string, std::string>& unified, Settings& settings) {
  for (const auto& [file, value] : unified) {
    const size_t dot = file.find('.');
    if (dot == 0 || dot == std::string::npos || file.find('/') != std::string::npos) {
      return invalid("unified", fmt::format("\"{}\" is no control file", file));
    }
    for (const std::string& line : split(trim(value), '\n')) {
      add(settings, fmt::format("unified[\"{}\"]", file), file.substr(0, dot), file, line);
    }
  }
  return {};
}

void plan_pids(const oci::Resources& resources, Settings& settings) {
  if (!resources.pids_limit) return;
  const int64_t limit = *resources.pids_limit;
  add(settings, "pids.limit", "pids", "pids.max", limit <= 0 ? "max" : number(limit));
}

}  // namespace

// y = 10^((log2(x)² + 125 log2(x)) / 612 − 7/34), rounded up: 2 → 1, 1024 → 100, 262144 → 10000.
uint64_t cpu_weight_of_shares(uint64_t shares) {
  if (shares <= kMinShares) return 1;
  if (shares >= kMaxShares) return 10000;
  const double log = std::log2(static_cast<double>(shares));
  const double exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::ceil(std::pow(10.0, exponent)));
}

uint64_t io_weight_of_blkio(uint64_t weight) {
  return 1 + (std::clamp<uint64_t>(weight, 10, 1000) - 10) * 9999 / 990;
}

Result<std::vector<Setting>> plan_v1(const oci::Resources& resources) {
  Settings settings;
  if (resources.memory) TRY(plan_memory_v1(*resources.memory, settings));
  if (resources.cpu) TRY(plan_cpu_v1(*resources.cpu, settings));
  plan_pids(resources, settings);
  if (resources.block_io) plan_block_io_v1(*resources.block_io, settings);
  TRY(plan_hugepages(resources.hugepage_limits, "limit_in_bytes", settings));
  if (resources.network) plan_network_v1(*resources.network, settings);
  plan_rdma(resources.rdma, settings);
  return settings;
}

Result<std::vector<Setting>> plan_v2(const oci::Resources& resources) {
  Settings settings;
  if (resources.memory) TRY(plan_memory_v2(*resources.memory, settings));
  if (resources.cpu) TRY(plan_cpu_v2(*resources.cpu, settings));
  plan_pids(resources, settings);
  if (resources.block_io) TRY(plan_block_io_v2(*resources.block_io, settings));
  TRY(plan_hugepages(resources.hugepage_limits, "max", settings));
  if (resources.network && is_set(resources.network->class_id)) {
    return only_on_v1("network.classID");
  }
  if (resources.network && !resources.network->priorities.empty()) {
    return only_on_v1("network.priorities");
  }
  plan_rdma(resources.rdma, settings);
  TRY(plan_unified(resources.unified, settings));
  return settings;
}

}  // namespace trivet::cgroup
