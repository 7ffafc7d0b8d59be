#include "cdi/apply.h"

#include <algorithm>
#include <set>

#include "cdi/select.h"
#include "linux/device_nodes.h"
#include "oci/mount.h"

namespace trivet::cdi {

namespace {

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

void apply_env(const Edits& edits, oci::Process& process) {
  for (const std::string& entry : edits.env) {
    const auto same = std::ranges::find(process.env, name_of(entry), name_of);
    if (same != process.env.end()) {
      *same = entry;
    } else {
      process.env.push_back(entry);
    }
  }
}

// Type and number are enough to make a node of; a number of 0 is the host's to tell.
bool is_whole(const DeviceNode& node) {
  return node.type && (node.major != 0 || node.type == 'p');
}

Result<oci::Device> complete(const DeviceNode& node, const HostView& host) {
  const auto there = host.device_at(node.host_path);
  if (!there && !is_whole(node)) {
    return std::unexpected(Error(there.error())
                               .with_code(ErrorCode::kUnsupported)
                               .in("device node")
                               .hint("is the driver loaded? The CDI file may be out of date, too: "
                                     "generate it anew"));
  }
  oci::Device device{.path = node.path,
                     .type = node.type.value_or('c'),
                     .major = node.major,
                     .minor = node.minor,
                     .file_mode = node.file_mode,
                     .uid = node.uid,
                     .gid = node.gid};
  if (there && !device.file_mode) device.file_mode = there->file_mode;
  if (is_whole(node)) return device;
  const char wanted = node.type == 'u' ? 'c' : node.type.value_or(there->type);
  if (wanted != there->type) {
    return fail(ErrorCode::kUnsupported, "device node \"{}\": it is of type {}, not {}",
                node.host_path, there->type, wanted);
  }
  device.type = there->type;
  if (device.major == 0 && device.type != 'p') {
    device.major = there->major;
    device.minor = there->minor;
  }
  return device;
}

Result<> apply_device_nodes(const Edits& edits, const HostView& host, oci::Spec& spec) {
  oci::Linux& target = *spec.linux_config;
  for (const DeviceNode& node : edits.device_nodes) {
    oci::Device device = TRY(complete(node, host));
    // A program of an ordinary user is to reach it.
    const oci::User& user = spec.process->user;
    if (!device.uid && user.uid != 0) device.uid = user.uid;
    if (!device.gid && user.gid != 0) device.gid = user.gid;
    // Where all devices are allowed a rule would say less than that.
    const bool needs_rule = device.type != 'p' && !node.permissions.empty();
    if (needs_rule && !allows_all_devices(target)) {
      target.resources->devices.push_back({.allow = true,
                                           .type = device.type == 'b' ? 'b' : 'c',
                                           .major = device.major,
                                           .minor = device.minor,
                                           .access = node.permissions});
    }
    std::erase_if(target.devices, [&](const auto& other) { return other.path == device.path; });
    target.devices.push_back(std::move(device));
  }
  return {};
}

std::unexpected<Error> missing(const char* what, const std::string& path) {
  return std::unexpected(
      Error(ErrorCode::kUnsupported, fmt::format("{} \"{}\" does not exist", what, path))
          .hint("the CDI file may be out of date: generate it anew"));
}

Result<> apply_mounts(const Edits& edits, const HostView& host, oci::Spec& spec) {
  for (const oci::Mount& mount : edits.mounts) {
    if (is_bind(mount) && !host.exists(mount.source)) return missing("mount source", mount.source);
    std::erase_if(spec.mounts,
                  [&](const auto& other) { return other.destination == mount.destination; });
    spec.mounts.push_back(mount);
  }
  if (edits.mounts.empty()) return {};
  // Shallow ones first, so that a deeper one is not hidden.
  std::ranges::stable_sort(spec.mounts, {}, [](const oci::Mount& mount) {
    return std::ranges::count(mount.destination, '/');
  });
  return {};
}

std::vector<oci::Hook>& hooks_of(oci::Hooks& hooks, std::string_view stage) {
  if (stage == "prestart") return hooks.prestart;
  if (stage == "createRuntime") return hooks.create_runtime;
  if (stage == "createContainer") return hooks.create_container;
  if (stage == "startContainer") return hooks.start_container;
  return stage == "poststart" ? hooks.poststart : hooks.poststop;
}

Result<> apply_hooks(const Edits& edits, const HostView& host, oci::Spec& spec) {
  for (const Hook& entry : edits.hooks) {
    // That one is looked up in the container (runtime-spec, config.md, "POSIX-platform Hooks").
    const bool is_inside = entry.stage == "startContainer";
    if (!is_inside && !host.exists(entry.hook.path)) return missing("hook", entry.hook.path);
    hooks_of(spec.hooks, entry.stage).push_back(entry.hook);
  }
  return {};
}

void apply_gids(const Edits& edits, oci::User& user) {
  for (const uint32_t gid : edits.additional_gids) {
    auto& known = user.additional_gids;
    if (std::ranges::find(known, gid) == known.end()) known.push_back(gid);
  }
}

Result<> apply_edits(const Edits& edits, const HostView& host, oci::Spec& spec) {
  apply_env(edits, *spec.process);
  TRY(apply_device_nodes(edits, host, spec));
  TRY(apply_mounts(edits, host, spec));
  TRY(apply_hooks(edits, host, spec));
  if (edits.intel_rdt) spec.linux_config->intel_rdt = edits.intel_rdt;
  apply_gids(edits, spec.process->user);
  for (const auto& [from, to] : edits.net_devices) spec.linux_config->net_devices[from] = to;
  return {};
}

}  // namespace

Result<> apply_devices(const Registry& registry, const std::vector<std::string>& qualified_names,
                       const HostView& host, oci::Spec& spec) {
  std::set<size_t> specs;
  std::set<std::string> devices;
  for (const std::string& name : qualified_names) {
    const DeviceIndex index = TRY(find_device(registry, name));
    if (!devices.insert(name).second) continue;
    const Spec& from = registry.specs[index.spec];
    if (specs.insert(index.spec).second) {
      TRY_IN(apply_edits(from.edits, host, spec), "CDI file \"{}\"", from.file);
    }
    TRY_IN(apply_edits(registry.device(index).edits, host, spec), "CDI file \"{}\", device {}",
           from.file, name);
  }
  return {};
}

}  // namespace trivet::cdi
