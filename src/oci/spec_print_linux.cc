// "linux" of config.json from a Linux.
#include "oci/spec_print.h"

namespace trivet::oci {

namespace {

void write_device_rule(JsonWriter& writer, const DeviceRule& rule) {
  writer.member("allow", rule.allow);
  if (rule.type != 'a') writer.member("type", std::string_view(&rule.type, 1));
  writer.optional_member("major", rule.major);
  writer.optional_member("minor", rule.minor);
  writer.member("access", rule.access);
}

void write_memory(JsonWriter& writer, const MemoryResources& memory) {
  writer.optional_member("limit", memory.limit);
  writer.optional_member("reservation", memory.reservation);
  writer.optional_member("swap", memory.swap);
  writer.optional_member("kernel", memory.kernel);
  writer.optional_member("kernelTCP", memory.kernel_tcp);
  writer.optional_member("swappiness", memory.swappiness);
  writer.optional_member("disableOOMKiller", memory.disable_oom_killer);
  writer.optional_member("useHierarchy", memory.use_hierarchy);
  writer.optional_member("checkBeforeUpdate", memory.check_before_update);
}

void write_cpu(JsonWriter& writer, const CpuResources& cpu) {
  writer.optional_member("shares", cpu.shares);
  writer.optional_member("quota", cpu.quota);
  writer.optional_member("burst", cpu.burst);
  writer.optional_member("period", cpu.period);
  writer.optional_member("realtimeRuntime", cpu.realtime_runtime);
  writer.optional_member("realtimePeriod", cpu.realtime_period);
  writer.optional_member("cpus", cpu.cpus);
  writer.optional_member("mems", cpu.mems);
  writer.optional_member("idle", cpu.idle);
}

void write_weight_device(JsonWriter& writer, const WeightDevice& device) {
  writer.member("major", device.major);
  writer.member("minor", device.minor);
  writer.optional_member("weight", device.weight);
  writer.optional_member("leafWeight", device.leaf_weight);
}

void write_throttle_device(JsonWriter& writer, const ThrottleDevice& device) {
  writer.member("major", device.major);
  writer.member("minor", device.minor);
  writer.member("rate", device.rate);
}

void write_block_io(JsonWriter& writer, const BlockIoResources& block_io) {
  writer.optional_member("weight", block_io.weight);
  writer.optional_member("leafWeight", block_io.leaf_weight);
  writer.objects("weightDevice", block_io.weight_device, write_weight_device);
  writer.objects("throttleReadBpsDevice", block_io.throttle_read_bps, write_throttle_device);
  writer.objects("throttleWriteBpsDevice", block_io.throttle_write_bps, write_throttle_device);
  writer.objects("throttleReadIOPSDevice", block_io.throttle_read_iops, write_throttle_device);
  writer.objects("throttleWriteIOPSDevice", block_io.throttle_write_iops, write_throttle_device);
}

void write_hugepage_limit(JsonWriter& writer, const HugepageLimit& limit) {
  writer.member("pageSize", limit.page_size);
  writer.member("limit", limit.limit);
}

void write_network_priority(JsonWriter& writer, const NetworkPriority& priority) {
  writer.member("name", priority.name);
  writer.member("priority", priority.priority);
}

void write_network(JsonWriter& writer, const NetworkResources& network) {
  writer.optional_member("classID", network.class_id);
  writer.objects("priorities", network.priorities, write_network_priority);
}

void write_rdma_limit(JsonWriter& writer, const RdmaLimit& limit) {
  writer.optional_member("hcaHandles", limit.hca_handles);
  writer.optional_member("hcaObjects", limit.hca_objects);
}

void write_resources(JsonWriter& writer, const Resources& resources) {
  writer.objects("devices", resources.devices, write_device_rule);
  writer.object("memory", resources.memory, write_memory);
  writer.object("cpu", resources.cpu, write_cpu);
  if (resources.pids_limit) {
    writer.begin_object("pids");
    writer.member("limit", *resources.pids_limit);
    writer.end_object();
  }
  writer.object("blockIO", resources.block_io, write_block_io);
  writer.objects("hugepageLimits", resources.hugepage_limits, write_hugepage_limit);
  writer.object("network", resources.network, write_network);
  if (!resources.rdma.empty()) {
    writer.begin_object("rdma");
    for (const auto& [device, limit] : resources.rdma) {
      writer.object(device, limit, write_rdma_limit);
    }
    writer.end_object();
  }
  writer.optional_member("unified", resources.unified);
}

void write_namespace(JsonWriter& writer, const Namespace& entry) {
  writer.member("type", namespace_name(entry.type));
  writer.optional_member("path", entry.path);
}

void write_device(JsonWriter& writer, const Device& device) {
  writer.member("path", device.path);
  writer.member("type", std::string_view(&device.type, 1));
  writer.member("major", device.major);
  writer.member("minor", device.minor);
  writer.optional_member("fileMode", device.file_mode);
  writer.optional_member("uid", device.uid);
  writer.optional_member("gid", device.gid);
}

void write_net_devices(JsonWriter& writer, const std::map<std::string, std::string>& devices) {
  if (devices.empty()) return;
  writer.begin_object("netDevices");
  for (const auto& [host_name, name] : devices) {
    writer.begin_object(host_name);
    writer.member("name", name);
    writer.end_object();
  }
  writer.end_object();
}

void write_seccomp_arg(JsonWriter& writer, const SeccompArg& arg) {
  writer.member("index", arg.index);
  writer.member("value", arg.value);
  writer.optional_member("valueTwo", arg.value_two);
  writer.member("op", arg.op);
}

void write_seccomp_rule(JsonWriter& writer, const SeccompRule& rule) {
  writer.member("names", rule.names);
  writer.member("action", rule.action);
  writer.optional_member("errnoRet", rule.errno_ret);
  writer.objects("args", rule.args, write_seccomp_arg);
}

void write_seccomp(JsonWriter& writer, const Seccomp& seccomp) {
  writer.member("defaultAction", seccomp.default_action);
  writer.optional_member("defaultErrnoRet", seccomp.default_errno_ret);
  writer.optional_member("architectures", seccomp.architectures);
  writer.optional_member("flags", seccomp.flags);
  writer.optional_member("listenerPath", seccomp.listener_path);
  writer.optional_member("listenerMetadata", seccomp.listener_metadata);
  writer.objects("syscalls", seccomp.syscalls, write_seccomp_rule);
}

void write_intel_rdt(JsonWriter& writer, const IntelRdt& rdt) {
  writer.optional_member("closID", rdt.clos_id);
  writer.optional_member("schemata", rdt.schemata);
  writer.optional_member("l3CacheSchema", rdt.l3_cache_schema);
  writer.optional_member("memBwSchema", rdt.mem_bw_schema);
  writer.optional_member("enableMonitoring", rdt.enable_monitoring);
}

void write_memory_policy(JsonWriter& writer, const MemoryPolicy& policy) {
  writer.member("mode", policy.mode);
  writer.optional_member("nodes", policy.nodes);
  writer.optional_member("flags", policy.flags);
}

void write_personality(JsonWriter& writer, const Personality& personality) {
  writer.member("domain", personality.domain);
  writer.optional_member("flags", personality.flags);
}

void write_time_offset(JsonWriter& writer, const TimeOffset& offset) {
  writer.optional_member("secs", offset.secs);
  writer.optional_member("nanosecs", offset.nanosecs);
}

void write_time_offsets(JsonWriter& writer, const std::map<std::string, TimeOffset>& offsets) {
  if (offsets.empty()) return;
  writer.begin_object("timeOffsets");
  for (const auto& [clock, offset] : offsets) writer.object(clock, offset, write_time_offset);
  writer.end_object();
}

}  // namespace

void write_linux(JsonWriter& writer, const Linux& config) {
  writer.objects("uidMappings", config.uid_mappings, write_id_mapping);
  writer.objects("gidMappings", config.gid_mappings, write_id_mapping);
  writer.optional_member("sysctl", config.sysctl);
  writer.object("resources", config.resources, write_resources);
  writer.optional_member("cgroupsPath", config.cgroups_path);
  writer.objects("namespaces", config.namespaces, write_namespace);
  writer.objects("devices", config.devices, write_device);
  write_net_devices(writer, config.net_devices);
  writer.object("seccomp", config.seccomp, write_seccomp);
  writer.optional_member("rootfsPropagation", config.rootfs_propagation);
  writer.optional_member("maskedPaths", config.masked_paths);
  writer.optional_member("readonlyPaths", config.readonly_paths);
  writer.optional_member("mountLabel", config.mount_label);
  writer.object("intelRdt", config.intel_rdt, write_intel_rdt);
  writer.object("memoryPolicy", config.memory_policy, write_memory_policy);
  writer.object("personality", config.personality, write_personality);
  write_time_offsets(writer, config.time_offsets);
}

}  // namespace trivet::oci
