// "linux.resources" (runtime-spec config-linux.md, Control groups).
#include <algorithm>

#include "oci/spec_parse.h"

namespace trivet::oci {

namespace {

// A limit of 0 says "not set": see MemoryResources.
template <typename T>
Result<> read_limit(const Field& field, std::string_view key, std::optional<T>& out) {
  TRY(field.read(key, out));
  if (out && *out == 0) out.reset();
  if constexpr (std::is_signed_v<T>) {
    if (out && *out < -1) return field.at(key).invalid("{} is out of range", *out);
  }
  return {};
}

// -1 stands for all numbers, as runc and Kubernetes have it.
Result<> read_device_number(const Field& field, std::string_view key, std::optional<int64_t>& out) {
  TRY(field.read(key, out));
  if (out == -1) out.reset();
  if (out && (*out < 0 || *out > UINT32_MAX)) {
    return field.at(key).invalid("{} is out of range", *out);
  }
  return {};
}

Result<DeviceRule> read_device_rule(const Field& field) {
  DeviceRule rule;
  TRY(field.read_required("allow", rule.allow));
  std::string type;
  TRY(field.read("type", type));
  if (!type.empty()) {
    if (type != "a" && type != "b" && type != "c") {
      return field.at("type").invalid("\"{}\" is none of a, b and c", type);
    }
    rule.type = type[0];
  }
  TRY(read_device_number(field, "major", rule.major));
  TRY(read_device_number(field, "minor", rule.minor));
  TRY(field.read_required("access", rule.access));  // runc doesn't guess it either
  if (rule.access.find_first_not_of("rwm") != std::string::npos) {
    return field.at("access").invalid("\"{}\" has letters other than r, w and m", rule.access);
  }
  return rule;
}

Result<MemoryResources> read_memory(const Field& field) {
  constexpr uint64_t kMaxSwappiness = 200;  // Linux 5.8
  MemoryResources memory;
  TRY(read_limit(field, "limit", memory.limit));
  TRY(read_limit(field, "reservation", memory.reservation));
  TRY(read_limit(field, "swap", memory.swap));
  TRY(read_limit(field, "kernel", memory.kernel));
  TRY(read_limit(field, "kernelTCP", memory.kernel_tcp));
  TRY(field.read("swappiness", memory.swappiness));
  // Docker's -1, "not set", went through an unsigned type; runc takes it back the same way.
  if (memory.swappiness == UINT64_MAX) memory.swappiness.reset();
  if (memory.swappiness && *memory.swappiness > kMaxSwappiness) {
    return field.at("swappiness")
        .invalid("{} is out of range: 0 to {}", *memory.swappiness, kMaxSwappiness);
  }
  TRY(field.read("disableOOMKiller", memory.disable_oom_killer));
  TRY(field.read("useHierarchy", memory.use_hierarchy));
  TRY(field.read("checkBeforeUpdate", memory.check_before_update));
  if (memory.limit && memory.swap && *memory.limit > 0 && *memory.swap > 0 &&
      *memory.swap < *memory.limit) {
    return field.at("swap").invalid("{} (memory plus swap) is below the memory limit {}",
                                    *memory.swap, *memory.limit);
  }
  return memory;
}

Result<CpuResources> read_cpu(const Field& field) {
  CpuResources cpu;
  TRY(read_limit(field, "shares", cpu.shares));
  TRY(read_limit(field, "quota", cpu.quota));
  TRY(field.read("burst", cpu.burst));
  TRY(read_limit(field, "period", cpu.period));
  TRY(field.read("realtimeRuntime", cpu.realtime_runtime));
  TRY(read_limit(field, "realtimePeriod", cpu.realtime_period));
  TRY(field.read("cpus", cpu.cpus));
  TRY(field.read("mems", cpu.mems));
  TRY(field.read("idle", cpu.idle));
  if (cpu.idle && *cpu.idle != 0 && *cpu.idle != 1) {
    return field.at("idle").invalid("{} is out of range: 0 or 1", *cpu.idle);
  }
  if (cpu.quota && cpu.burst && *cpu.quota > 0 && std::cmp_greater(*cpu.burst, *cpu.quota)) {
    return field.at("burst").invalid("{} is above the quota {}", *cpu.burst, *cpu.quota);
  }
  return cpu;
}

Result<> read_weight(const Field& field, std::string_view key, std::optional<uint16_t>& out) {
  TRY(read_limit(field, key, out));
  if (out && (*out < 10 || *out > 1000)) {
    return field.at(key).invalid("{} is out of range: 10 to 1000", *out);
  }
  return {};
}

Result<> read_block_device(const Field& field, int64_t& major, int64_t& minor) {
  TRY(field.read_required("major", major));
  TRY(field.read_required("minor", minor));
  if (major < 0 || major > UINT32_MAX) return field.at("major").invalid("out of range");
  if (minor < 0 || minor > UINT32_MAX) return field.at("minor").invalid("out of range");
  return {};
}

Result<WeightDevice> read_weight_device(const Field& field) {
  WeightDevice device;
  TRY(read_block_device(field, device.major, device.minor));
  TRY(read_weight(field, "weight", device.weight));
  TRY(read_weight(field, "leafWeight", device.leaf_weight));
  if (!device.weight && !device.leaf_weight) return field.invalid("has no weight or leafWeight");
  return device;
}

Result<ThrottleDevice> read_throttle_device(const Field& field) {
  ThrottleDevice device;
  TRY(read_block_device(field, device.major, device.minor));
  TRY(field.read_required("rate", device.rate));
  return device;
}

Result<BlockIoResources> read_block_io(const Field& field) {
  BlockIoResources block_io;
  TRY(read_weight(field, "weight", block_io.weight));
  TRY(read_weight(field, "leafWeight", block_io.leaf_weight));
  TRY(field.read("weightDevice", block_io.weight_device, read_weight_device));
  TRY(field.read("throttleReadBpsDevice", block_io.throttle_read_bps, read_throttle_device));
  TRY(field.read("throttleWriteBpsDevice", block_io.throttle_write_bps, read_throttle_device));
  TRY(field.read("throttleReadIOPSDevice", block_io.throttle_read_iops, read_throttle_device));
  TRY(field.read("throttleWriteIOPSDevice", block_io.throttle_write_iops, read_throttle_device));
  return block_io;
}

// "2MB", "64KB", "1GB": it becomes part of a file name in the cgroup.
bool is_page_size(std::string_view text) {
  if (!text.ends_with('B')) return false;
  text.remove_suffix(1);
  if (text.empty() || std::string_view("KMG").find(text.back()) == std::string_view::npos) {
    return false;
  }
  text.remove_suffix(1);
  return !text.empty() && text[0] != '0' &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

Result<HugepageLimit> read_hugepage_limit(const Field& field) {
  HugepageLimit limit;
  TRY(field.read_required("pageSize", limit.page_size));
  if (!is_page_size(limit.page_size)) {
    return field.at("pageSize").invalid("\"{}\" is no size such as \"2MB\"", limit.page_size);
  }
  TRY(field.read_required("limit", limit.limit));
  return limit;
}

Result<NetworkPriority> read_network_priority(const Field& field) {
  NetworkPriority priority;
  TRY(field.read_required("name", priority.name));
  TRY(field.read_required("priority", priority.priority));
  return priority;
}

Result<NetworkResources> read_network(const Field& field) {
  NetworkResources network;
  TRY(field.read("classID", network.class_id));
  TRY(field.read("priorities", network.priorities, read_network_priority));
  return network;
}

Result<> read_rdma(const Field& resources, std::map<std::string, RdmaLimit>& out) {
  const Field field = TRY(resources.find("rdma"));
  if (!field) return {};
  return field.for_each_member([&](std::string_view device, const Field& member) -> Result<> {
    RdmaLimit& limit = out[std::string(device)];
    TRY(member.read("hcaHandles", limit.hca_handles));
    TRY(member.read("hcaObjects", limit.hca_objects));
    if (limit.hca_handles || limit.hca_objects) return {};
    return member.invalid("has no hcaHandles or hcaObjects");
  });
}

// The keys are names of files in the container's cgroup, so they must not lead out of it.
Result<> read_unified(const Field& resources, std::map<std::string, std::string>& out) {
  const Field field = TRY(resources.find("unified"));
  if (!field) return {};
  return field.for_each_member([&](std::string_view file, const Field& member) -> Result<> {
    if (file.find('/') != std::string_view::npos || file == "." || file == "..") {
      return member.invalid("not the name of a file in a cgroup");
    }
    return member.get(out[std::string(file)]);
  });
}

Result<> read_pids(const Field& resources, std::optional<int64_t>& out) {
  const Field field = TRY(resources.find("pids"));
  if (!field) return {};
  TRY(field.read("limit", out));
  if (out && *out < -1) return field.at("limit").invalid("{} is out of range", *out);
  return {};
}

}  // namespace

Result<Resources> read_resources(const Field& field) {
  Resources resources;
  TRY(field.read("devices", resources.devices, read_device_rule));
  TRY(field.read("memory", resources.memory, read_memory));
  TRY(field.read("cpu", resources.cpu, read_cpu));
  TRY(read_pids(field, resources.pids_limit));
  TRY(field.read("blockIO", resources.block_io, read_block_io));
  TRY(field.read("hugepageLimits", resources.hugepage_limits, read_hugepage_limit));
  TRY(field.read("network", resources.network, read_network));
  TRY(read_rdma(field, resources.rdma));
  TRY(read_unified(field, resources.unified));
  return resources;
}

}  // namespace trivet::oci
