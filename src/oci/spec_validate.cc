// What the parts of a spec demand from each other: the rules of runc's validator
// (libcontainer/configs/validate) that need no look at the host.
#include <algorithm>

#include "oci/spec_parse.h"

namespace trivet::oci {

namespace {

[[nodiscard]] std::unexpected<Error> needs_namespace(std::string_view field, NamespaceType type) {
  return fail(ErrorCode::kInvalidArgument,
              "{}: needs a {} namespace, and linux.namespaces has none", field,
              namespace_name(type));
}

Result<> check_uts(const Spec& spec, const Linux& config) {
  if (config.find_namespace(NamespaceType::kUts) != nullptr) return {};
  if (!spec.hostname.empty()) return needs_namespace("hostname", NamespaceType::kUts);
  if (!spec.domainname.empty()) return needs_namespace("domainname", NamespaceType::kUts);
  return {};
}

Result<> check_paths(const Linux& config) {
  if (config.find_namespace(NamespaceType::kMount) != nullptr) return {};
  if (!config.masked_paths.empty()) {
    return needs_namespace("linux.maskedPaths", NamespaceType::kMount);
  }
  if (!config.readonly_paths.empty()) {
    return needs_namespace("linux.readonlyPaths", NamespaceType::kMount);
  }
  return {};
}

Result<> check_user(const Linux& config) {
  const Namespace* user = config.find_namespace(NamespaceType::kUser);
  const bool has_mappings = !config.uid_mappings.empty() || !config.gid_mappings.empty();
  if (user == nullptr && has_mappings) {
    return needs_namespace(config.uid_mappings.empty() ? "linux.gidMappings" : "linux.uidMappings",
                           NamespaceType::kUser);
  }
  if (user != nullptr && user->path.empty() && !has_mappings) {
    // crun would make up a mapping, and writes such a config for `spec --rootless`; runc refuses
    // it.
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              "linux.uidMappings: missing, but linux.namespaces asks for a new user namespace")
            .hint("`trivet-oci spec --rootless` writes a config with the mappings"));
  }
  return {};
}

Result<> check_time(const Linux& config) {
  if (config.time_offsets.empty()) return {};
  const Namespace* time = config.find_namespace(NamespaceType::kTime);
  if (time == nullptr) return needs_namespace("linux.timeOffsets", NamespaceType::kTime);
  if (time->path.empty()) return {};
  return fail(ErrorCode::kInvalidArgument,
              "linux.timeOffsets: the time namespace of a path can't be changed");
}

Result<> check_network(const Linux& config) {
  if (config.net_devices.empty()) return {};
  if (config.find_namespace(NamespaceType::kNetwork) != nullptr) return {};
  return needs_namespace("linux.netDevices", NamespaceType::kNetwork);
}

// sysctl(8) takes "net/ipv4/conf/eno2.100/x" for "net.ipv4.conf.eno2/100.x".
std::string dotted_sysctl(std::string_view name) {
  std::string dotted(name);
  const size_t first = dotted.find_first_of("./");
  if (first == std::string::npos || dotted[first] == '.') return dotted;
  for (char& c : dotted) {
    if (c == '.') {
      c = '/';
    } else if (c == '/') {
      c = '.';
    }
  }
  return dotted;
}

// The namespace that holds a sysctl, or nothing if the whole host shares it.
std::optional<NamespaceType> sysctl_namespace(std::string_view name) {
  constexpr std::string_view kIpcNames[] = {
      "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
      "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
  if (name.starts_with("net.")) return NamespaceType::kNetwork;
  if (name.starts_with("fs.mqueue.")) return NamespaceType::kIpc;
  if (std::ranges::find(kIpcNames, name) != std::end(kIpcNames)) return NamespaceType::kIpc;
  if (name == "kernel.domainname") return NamespaceType::kUts;
  if (name.starts_with("user.")) return NamespaceType::kUser;
  return std::nullopt;
}

Result<> check_sysctl(const Linux& config) {
  for (const auto& [key, value] : config.sysctl) {
    const std::string name = dotted_sysctl(key);
    const std::string field = fmt::format("linux.sysctl[\"{}\"]", key);
    if (name == "kernel.hostname") {
      return fail(ErrorCode::kInvalidArgument, "{}: the field hostname is for this", field);
    }
    // The name becomes a path below /proc/sys.
    if (name.find("..") != std::string::npos || name.find("//") != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "{}: not the name of a sysctl", field);
    }
    const auto type = sysctl_namespace(name);
    if (!type) {
      return fail(ErrorCode::kInvalidArgument, "{}: belongs to the host, not to a namespace",
                  field);
    }
    if (config.find_namespace(*type) == nullptr) return needs_namespace(field, *type);
  }
  return {};
}

// Without mappings of its own an id-mapped mount takes those of the container's user namespace.
Result<> check_idmapped_mounts(const Spec& spec, const Linux& config) {
  if (config.find_namespace(NamespaceType::kUser) != nullptr) return {};
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const Mount& mount = spec.mounts[i];
    if (!mount.uid_mappings.empty()) continue;
    const bool wants_mapping = std::ranges::any_of(mount.options, [](const std::string& option) {
      return option == "idmap" || option == "ridmap";
    });
    if (!wants_mapping) continue;
    return fail(ErrorCode::kInvalidArgument,
                "mounts[{}]: id-mapped, but there are no mappings and no user namespace", i);
  }
  return {};
}

}  // namespace

Result<> validate_spec(const Spec& spec) {
  static const Linux kNone;
  const Linux& config = spec.linux_config ? *spec.linux_config : kNone;
  TRY(check_uts(spec, config));
  TRY(check_paths(config));
  TRY(check_user(config));
  TRY(check_time(config));
  TRY(check_network(config));
  TRY(check_sysctl(config));
  return check_idmapped_mounts(spec, config);
}

}  // namespace trivet::oci
