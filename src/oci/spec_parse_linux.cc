// The "linux" object but for resources and seccomp (runtime-spec config-linux.md).
#include <algorithm>

#include "oci/spec_names.h"
#include "oci/spec_parse.h"

namespace trivet::oci {

namespace {

Result<Namespace> read_namespace(const Field& field) {
  Namespace entry;
  std::string type;
  TRY(field.read_required("type", type));
  TRY(check_known(field.at("type"), type, known_namespaces()));
  const Names names = known_namespaces();
  entry.type = static_cast<NamespaceType>(std::ranges::find(names, type) - names.begin());
  TRY(field.read("path", entry.path));
  if (!entry.path.empty()) TRY(check_absolute(field.at("path"), entry.path));
  return entry;
}

Result<> read_namespaces(const Field& field, Linux& config) {
  TRY(field.read("namespaces", config.namespaces, read_namespace));
  for (const Namespace& entry : config.namespaces) {
    if (config.find_namespace(entry.type) == &entry) continue;
    return field.at("namespaces").invalid("{} is given twice", namespace_name(entry.type));
  }
  return {};
}

Result<> check_device_number(const Field& field, int64_t number) {
  if (number >= 0 && number <= UINT32_MAX) return {};
  return field.invalid("{} is out of range", number);
}

Result<Device> read_device(const Field& field) {
  Device device;
  TRY(field.read_required("path", device.path));
  TRY(check_absolute(field.at("path"), device.path));
  std::string type;
  TRY(field.read_required("type", type));
  if (type != "c" && type != "b" && type != "u" && type != "p") {
    return field.at("type").invalid("\"{}\" is none of c, b, u and p", type);
  }
  device.type = type[0];
  TRY(field.read("major", device.major));
  TRY(field.read("minor", device.minor));
  TRY(check_device_number(field.at("major"), device.major));
  TRY(check_device_number(field.at("minor"), device.minor));
  TRY(field.read("fileMode", device.file_mode));
  TRY(field.read("uid", device.uid));
  TRY(field.read("gid", device.gid));
  return device;
}

// The kernel's dev_valid_name().
bool is_interface_name(std::string_view name) {
  constexpr size_t kLongest = 15;
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         name.find_first_of("/: \t\n\v\f\r") == std::string_view::npos;
}

Result<> read_net_devices(const Field& linux_field, std::map<std::string, std::string>& out) {
  const Field field = TRY(linux_field.find("netDevices"));
  if (!field) return {};
  return field.for_each_member([&](std::string_view host_name, const Field& device) -> Result<> {
    std::string name;
    TRY(device.read("name", name));
    if (name.empty()) name = host_name;
    if (!is_interface_name(host_name)) return device.invalid("not the name of a network device");
    if (!is_interface_name(name)) {
      return device.at("name").invalid("\"{}\" is not the name of a network device", name);
    }
    const auto same_name = [&](const auto& other) { return other.second == name; };
    if (std::ranges::any_of(out, same_name)) {
      return device.invalid("two devices would be \"{}\" in the container", name);
    }
    out[std::string(host_name)] = std::move(name);
    return {};
  });
}

Result<> check_no_newline(const Field& field, std::string_view text) {
  if (text.find('\n') == std::string_view::npos) return {};
  return field.invalid("must be one line");
}

// The members that 1.3 replaced by enableMonitoring. Older runtimes ignored them.
Result<> refuse_old_monitoring(const Field& field) {
  for (const std::string_view key : {"enableCMT", "enableMBM"}) {
    bool enabled = false;
    TRY(field.read(key, enabled));
    if (enabled) return field.at(key).invalid("not supported: enableMonitoring replaced it");
  }
  return {};
}

Result<IntelRdt> read_intel_rdt(const Field& field) {
  IntelRdt rdt;
  TRY(field.read("closID", rdt.clos_id));
  const bool has_slash = rdt.clos_id.size() > 1 && rdt.clos_id.find('/') != std::string::npos;
  if (rdt.clos_id == "." || rdt.clos_id == ".." || has_slash) {
    return field.at("closID").invalid("\"{}\" is no name of a directory", rdt.clos_id);
  }
  TRY(field.read("schemata", rdt.schemata));
  for (const std::string& line : rdt.schemata) TRY(check_no_newline(field.at("schemata"), line));
  TRY(field.read("l3CacheSchema", rdt.l3_cache_schema));
  TRY(field.read("memBwSchema", rdt.mem_bw_schema));
  TRY(check_no_newline(field.at("memBwSchema"), rdt.mem_bw_schema));
  if (!rdt.mem_bw_schema.empty() && !rdt.mem_bw_schema.starts_with("MB:")) {
    return field.at("memBwSchema").invalid("must start with \"MB:\"");
  }
  TRY(field.read("enableMonitoring", rdt.enable_monitoring));
  TRY(refuse_old_monitoring(field));
  return rdt;
}

// set_mempolicy(2), as far as it needs no look at the host.
Result<> check_memory_policy(const Field& field, const MemoryPolicy& policy) {
  const bool takes_none = policy.mode == "MPOL_DEFAULT" || policy.mode == "MPOL_LOCAL";
  const bool needs_some = !takes_none && policy.mode != "MPOL_PREFERRED";
  if (takes_none && !policy.nodes.empty()) {
    return field.at("nodes").invalid("{} takes no nodes", policy.mode);
  }
  if (needs_some && policy.nodes.empty()) {
    return field.at("nodes").invalid("missing, but {} needs nodes", policy.mode);
  }
  const auto has_flag = [&](std::string_view flag) {
    return std::ranges::find(policy.flags, flag) != policy.flags.end();
  };
  if (has_flag("MPOL_F_STATIC_NODES") && has_flag("MPOL_F_RELATIVE_NODES")) {
    return field.at("flags").invalid("nodes can't be both static and relative");
  }
  return {};
}

Result<MemoryPolicy> read_memory_policy(const Field& field) {
  MemoryPolicy policy;
  TRY(field.read_required("mode", policy.mode));
  TRY(check_known(field.at("mode"), policy.mode, known_memory_policy_modes()));
  TRY(field.read("nodes", policy.nodes));
  TRY(field.read("flags", policy.flags));
  for (const std::string& flag : policy.flags) {
    TRY(check_known(field.at("flags"), flag, known_memory_policy_flags()));
  }
  TRY(check_memory_policy(field, policy));
  return policy;
}

Result<Personality> read_personality(const Field& field) {
  Personality personality;
  TRY(field.read_required("domain", personality.domain));
  TRY(check_known(field.at("domain"), personality.domain, known_personality_domains()));
  TRY(field.read("flags", personality.flags));
  if (!personality.flags.empty()) {
    return field.at("flags").invalid("the specification defines none yet");
  }
  return personality;
}

Result<> read_time_offsets(const Field& linux_field, std::map<std::string, TimeOffset>& out) {
  const Field field = TRY(linux_field.find("timeOffsets"));
  if (!field) return {};
  return field.for_each_member([&](std::string_view clock, const Field& member) -> Result<> {
    constexpr uint32_t kNanosecondsInSecond = 1'000'000'000;
    TRY(check_known(member, clock, known_time_clocks()));
    TimeOffset& offset = out[std::string(clock)];
    TRY(member.read("secs", offset.secs));
    TRY(member.read("nanosecs", offset.nanosecs));
    if (offset.nanosecs < kNanosecondsInSecond) return {};
    return member.at("nanosecs").invalid("{} is a second or more", offset.nanosecs);
  });
}

Result<> read_paths(const Field& field, std::string_view key, std::vector<std::string>& out) {
  TRY(field.read(key, out));
  for (const std::string& path : out) TRY(check_absolute(field.at(key), path));
  return {};
}

}  // namespace

Result<Linux> read_linux(const Field& field) {
  Linux config;
  TRY(field.read("uidMappings", config.uid_mappings, read_id_mapping));
  TRY(field.read("gidMappings", config.gid_mappings, read_id_mapping));
  TRY(field.read("sysctl", config.sysctl));
  TRY(field.read("resources", config.resources, read_resources));
  TRY(field.read("cgroupsPath", config.cgroups_path));
  TRY(read_namespaces(field, config));
  TRY(field.read("devices", config.devices, read_device));
  TRY(read_net_devices(field, config.net_devices));
  TRY(field.read("seccomp", config.seccomp, read_seccomp));
  TRY(field.read("rootfsPropagation", config.rootfs_propagation));
  if (!config.rootfs_propagation.empty()) {
    TRY(check_known(field.at("rootfsPropagation"), config.rootfs_propagation,
                    known_rootfs_propagations()));
  }
  TRY(read_paths(field, "maskedPaths", config.masked_paths));
  TRY(read_paths(field, "readonlyPaths", config.readonly_paths));
  TRY(field.read("mountLabel", config.mount_label));
  TRY(field.read("intelRdt", config.intel_rdt, read_intel_rdt));
  TRY(field.read("memoryPolicy", config.memory_policy, read_memory_policy));
  TRY(field.read("personality", config.personality, read_personality));
  TRY(read_time_offsets(field, config.time_offsets));
  return config;
}

}  // namespace trivet::oci
