#include <algorithm>
#include <sys/personality.h>

#include "base/fs.h"
#include "container/plan.h"
#include <linux/sched.h>

namespace trivet::container {

uint32_t clone_flag(oci::NamespaceType type) {
  switch (type) {
    case oci::NamespaceType::kPid:
      return CLONE_NEWPID;
    case oci::NamespaceType::kNetwork:
      return CLONE_NEWNET;
    case oci::NamespaceType::kMount:
      return CLONE_NEWNS;
    case oci::NamespaceType::kIpc:
      return CLONE_NEWIPC;
    case oci::NamespaceType::kUts:
      return CLONE_NEWUTS;
    case oci::NamespaceType::kUser:
      return CLONE_NEWUSER;
    case oci::NamespaceType::kCgroup:
      return CLONE_NEWCGROUP;
    case oci::NamespaceType::kTime:
      return CLONE_NEWTIME;
  }
  return 0;
}

std::string print_id_map(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& mapping : mappings) {
    text += fmt::format("{} {} {}\n", mapping.container_id, mapping.host_id, mapping.size);
  }
  return text;
}

namespace {

Result<> unsupported(std::string_view field) {
  return fail(ErrorCode::kUnsupported, "{} is not supported", field);
}

// A sysctl has to be one of a namespace that the container has to itself, or it would change the
// host's (runtime-spec leaves that to the runtime; runc refuses too).
Result<> check_sysctl(const oci::Linux& config, const std::string& key) {
  using enum oci::NamespaceType;
  const auto own = [&](oci::NamespaceType type) { return config.find_namespace(type) != nullptr; };
  const bool ipc = key.starts_with("fs.mqueue.") || key.starts_with("kernel.msg") ||
                   key.starts_with("kernel.shm") || key == "kernel.sem";
  if (ipc && own(kIpc)) return {};
  if (key.starts_with("net.") && own(kNetwork)) return {};
  if (key == "kernel.domainname" && own(kUts)) return {};
  if (key.starts_with("user.") && own(kUser)) return {};
  if (key == "kernel.hostname") {
    return fail(ErrorCode::kInvalidArgument, "linux.sysctl: \"{}\" is set by \"hostname\"", key);
  }
  return fail(ErrorCode::kInvalidArgument,
              "linux.sysctl: \"{}\" is not of a namespace that this container has to itself", key);
}

// "net.ipv4.ip_forward" and "net/ipv4/ip_forward" mean the same (sysctl(8)).
std::string sysctl_path(std::string key) {
  const size_t separator = key.find_first_of("./");
  if (separator != std::string::npos && key[separator] == '.') std::ranges::replace(key, '.', '/');
  return "sys/" + key;
}

Result<> add_namespace(const oci::Namespace& entry, NamespacePlan& plan) {
  const uint32_t flag = clone_flag(entry.type);
  if (entry.path.empty()) {
    const bool later =
        entry.type == oci::NamespaceType::kCgroup || entry.type == oci::NamespaceType::kTime;
    if (later) {
      plan.unshare_flags |= flag;
    } else {
      plan.clone_flags |= flag;
    }
    plan.user |= entry.type == oci::NamespaceType::kUser;
    plan.new_network |= entry.type == oci::NamespaceType::kNetwork;
    return {};
  }
  if (entry.type == oci::NamespaceType::kPid) {
    plan.pid_path = entry.path;
  } else if (entry.type == oci::NamespaceType::kUser) {
    plan.joins.insert(plan.joins.begin(), {entry.path, flag});  // first: it owns the others
  } else {
    plan.joins.emplace_back(entry.path, flag);
  }
  return {};
}

}  // namespace

bool has_selinux() {
  return exists("/sys/fs/selinux/status");
}

Result<> check_supported(const oci::Spec& spec) {
  if (!spec.root) return fail(ErrorCode::kInvalidArgument, "config.json: \"root\" is missing");
  if (!spec.linux_config)
    return fail(ErrorCode::kInvalidArgument, "config.json: \"linux\" is missing");
  const oci::Linux& config = *spec.linux_config;
  if (config.find_namespace(oci::NamespaceType::kMount) == nullptr &&
      config.find_namespace(oci::NamespaceType::kUser) != nullptr) {
    return unsupported("linux.namespaces: \"user\" without \"mount\"");
  }
  if (!config.net_devices.empty() &&
      config.find_namespace(oci::NamespaceType::kNetwork) == nullptr) {
    return fail(ErrorCode::kInvalidArgument, "linux.netDevices: needs a network namespace");
  }
  if (spec.vm) return unsupported("vm");
  return {};
}

std::optional<uid_t> find_cgroup_owner(const oci::Spec& spec) {
  const auto is_writable_cgroup = [](const oci::Mount& mount) {
    return (mount.type == "cgroup" || mount.type == "cgroup2") &&
           std::ranges::find(mount.options, "ro") == mount.options.end();
  };
  const oci::Namespace* own = spec.linux_config->find_namespace(oci::NamespaceType::kCgroup);
  if (own == nullptr || !own->path.empty() ||
      std::ranges::none_of(spec.mounts, is_writable_cgroup)) {
    return std::nullopt;
  }
  const uid_t uid = spec.process->user.uid;
  uid_t host = uid;
  if (spec.linux_config->find_namespace(oci::NamespaceType::kUser) != nullptr) {
    const auto& maps = spec.linux_config->uid_mappings;
    const auto map = std::ranges::find_if(maps, [uid](const oci::IdMapping& entry) {
      return uid >= entry.container_id && uid - entry.container_id < entry.size;
    });
    if (map == maps.end()) return std::nullopt;
    host = map->host_id + (uid - map->container_id);
  }
  return host == 0 ? std::nullopt : std::optional(host);
}

Result<NamespacePlan> plan_namespaces(const oci::Spec& spec) {
  NamespacePlan plan;
  const oci::Linux& config = *spec.linux_config;
  for (const oci::Namespace& entry : config.namespaces) TRY(add_namespace(entry, plan));
  if (plan.user) {
    if (config.uid_mappings.empty() || config.gid_mappings.empty()) {
      return fail(ErrorCode::kInvalidArgument,
                  "linux.uidMappings and linux.gidMappings: a new user namespace needs both");
    }
    plan.uid_map = print_id_map(config.uid_mappings);
    plan.gid_map = print_id_map(config.gid_mappings);
  }
  plan.hostname = spec.hostname;
  plan.domainname = spec.domainname;
  for (const auto& [clock, offset] : config.time_offsets) {
    plan.timens_offsets += fmt::format("{} {} {}\n", clock, offset.secs, offset.nanosecs);
  }
  for (const auto& [key, value] : config.sysctl) {
    TRY(check_sysctl(config, key));
    plan.sysctls.emplace_back(sysctl_path(key), value);
  }
  return plan;
}

}  // namespace trivet::container
