#include <fmt/ranges.h>

#include "container/plan.h"

namespace trivet::container {

namespace {

const char* kind_word(stage::MountKind kind) {
  switch (kind) {
    case stage::MountKind::kFilesystem:
      return "mount";
    case stage::MountKind::kBind:
      return "bind";
    case stage::MountKind::kRemount:
      return "remount";
  }
  return "mount";
}

std::string print_mount(const MountPlan& mount) {
  std::string line =
      fmt::format("{} {} {} -> {}", kind_word(mount.kind), mount.type.empty() ? "-" : mount.type,
                  mount.source.empty() ? "-" : mount.source, mount.target);
  const MountOptions& options = mount.options;
  for (const auto& [key, value] : options.parameters) {
    line += value ? fmt::format(" {}={}", key, *value) : " " + key;
  }
  const auto add = [&line](const char* name, uint64_t bits) {
    if (bits != 0) line += fmt::format(" {}={:#x}", name, bits);
  };
  add("set", options.attr_set);
  add("clear", options.attr_clear);
  add("rset", options.recursive_attr_set);
  add("rclear", options.recursive_attr_clear);
  add("propagation", options.propagation);
  if (options.recursive) line += " recursive";
  return line + "\n";
}

}  // namespace

std::string print_plan(const NamespacePlan& namespaces, const RootPlan& root,
                       const ProcessPlan& process) {
  std::string text =
      fmt::format("clone {:#x}\nunshare {:#x}\n", namespaces.clone_flags, namespaces.unshare_flags);
  for (const auto& [path, flag] : namespaces.joins)
    text += fmt::format("join {} {:#x}\n", path, flag);
  if (!namespaces.hostname.empty()) text += fmt::format("hostname {}\n", namespaces.hostname);
  for (const auto& [path, value] : namespaces.sysctls)
    text += fmt::format("sysctl {} = {}\n", path, value);
  text += "root " + print_mount(root.root);
  for (const MountPlan& mount : root.mounts) text += print_mount(mount);
  for (const DevicePlan& device : root.devices) {
    text +=
        fmt::format("{} {} {:o} {}:{} {}:{}\n", device.bind ? "bind-device" : "device", device.path,
                    device.mode, device.major, device.minor, device.uid, device.gid);
  }
  for (const SymlinkPlan& link : root.symlinks) {
    text += fmt::format("symlink {} -> {}\n", link.path, link.target);
  }
  for (const std::string& path : root.masked_paths) text += fmt::format("mask {}\n", path);
  for (const std::string& path : root.readonly_paths) text += fmt::format("protect {}\n", path);
  for (const MountPlan& mount : root.shown) text += "show " + print_mount(mount);
  if (root.readonly) text += "readonly root\n";
  text += fmt::format("user {}:{}\ncapabilities {:#x}\n", process.uid, process.gid,
                      process.capabilities.effective);
  text += fmt::format("no-new-privileges {}\nseccomp {} instructions\n", process.no_new_privileges,
                      process.seccomp.size());
  text += fmt::format("cwd {}\nexec {}\n", process.cwd, fmt::join(process.args, " "));
  return text;
}

}  // namespace trivet::container
