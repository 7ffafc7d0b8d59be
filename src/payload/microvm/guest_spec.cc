#include "payload/microvm/guest_spec.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/paths.h"
#include "container/mount_options.h"
#include "guest/messages.h"
#include "linux/device_nodes.h"
#include "oci/mount.h"
#include <linux/magic.h>

namespace trivet::payload::microvm {

namespace {

using oci::NamespaceType;

std::string absolute(const std::string& bundle, const std::string& path) {
  return path.starts_with('/') ? path : bundle + "/" + path;
}

std::unexpected<Error> refuse(std::string what) {
  return std::unexpected(
      Error(ErrorCode::kUnsupported, std::move(what))
          .hint("a microVM has a kernel of its own; --isolation native can do it"));
}

// The container's network is that of its shell, whoever made it; in the others a VM is alone.
Result<> check_namespaces(const oci::Linux& config, std::vector<std::string>& warnings) {
  for (const NamespaceType type : {NamespaceType::kPid, NamespaceType::kNetwork}) {
    if (config.find_namespace(type) != nullptr) continue;
    return refuse(fmt::format("linux.namespaces: a microVM can't use the host's {} namespace",
                              oci::namespace_name(type)));
  }
  for (const oci::Namespace& entry : config.namespaces) {
    if (entry.path.empty() || entry.type == NamespaceType::kNetwork) continue;
    if (entry.type == NamespaceType::kIpc || entry.type == NamespaceType::kUts) {
      warnings.push_back(
          fmt::format("linux.namespaces: the microVM has its own {} namespace "
                      "instead of \"{}\"",
                      oci::namespace_name(entry.type), entry.path));
      continue;
    }
    return refuse(fmt::format("linux.namespaces: a microVM can't join the {} namespace \"{}\"",
                              oci::namespace_name(entry.type), entry.path));
  }
  return {};
}

// Engines mount a tmpfs for /dev/shm on the host and bind it. Shared memory belongs to the IPC
// namespace, which is the guest's own, and over virtiofs it would be neither fast nor, with a
// mapping on both sides, shared. Nothing for what the container has in common with others: a joined
// namespace's, the host's, and whatever is no file system of its own.
std::optional<uint64_t> find_shm_size(const oci::Linux& config, const oci::Mount& mount,
                                      const std::string& source) {
  const oci::Namespace* ipc = config.find_namespace(NamespaceType::kIpc);
  if (ipc == nullptr || !ipc->path.empty() || !is_bind(mount)) return std::nullopt;
  if (mount.destination != "/dev/shm" || !source.ends_with("/shm")) return std::nullopt;
  struct statfs file_system{};
  struct stat status{};
  struct stat above{};
  const std::string parent = source.substr(0, source.rfind('/') + 1);
  if (statfs(source.c_str(), &file_system) != 0 || file_system.f_type != TMPFS_MAGIC ||
      stat(source.c_str(), &status) != 0 || stat(parent.c_str(), &above) != 0 ||
      status.st_dev == above.st_dev) {
    return std::nullopt;
  }
  return file_system.f_blocks * static_cast<uint64_t>(file_system.f_bsize);
}

void plan_shm(const std::string& bundle, oci::Spec& spec) {
  for (oci::Mount& mount : spec.mounts) {
    const auto size = find_shm_size(*spec.linux_config, mount, absolute(bundle, mount.source));
    if (!size) continue;
    mount = {.destination = mount.destination,
             .type = "tmpfs",
             .source = "shm",
             .options = {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", *size)}};
  }
}

// Nodes that every kernel has, so that the guest's means the same.
bool is_ordinary_device(const oci::Device& device) {
  constexpr auto kOrdinary =
      std::to_array<std::string_view>({"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                       "/dev/urandom", "/dev/tty", "/dev/console", "/dev/ptmx"});
  return device.type == 'p' || std::ranges::find(kOrdinary, device.path) != kOrdinary.end();
}

// For a privileged container engines list all devices of the host, under their own names. It gets
// all of the guest's instead; what has another name was asked for.
Result<> check_devices(const oci::Linux& config) {
  const bool is_privileged = allows_all_devices(config);
  for (const oci::Device& device : config.devices) {
    if (is_ordinary_device(device) || (is_privileged && is_present(device))) continue;
    return refuse(
        fmt::format("linux.devices: \"{}\": a microVM has no devices of the host", device.path));
  }
  if (!config.net_devices.empty()) {
    return refuse("linux.netDevices: a microVM has no devices of the host");
  }
  return {};
}

Result<> check_linux(const oci::Spec& spec, std::vector<std::string>& warnings) {
  const oci::Linux& config = *spec.linux_config;
  TRY(check_namespaces(config, warnings));
  TRY(check_devices(config));
  if (config.intel_rdt) return refuse("linux.intelRdt: it is the host's processor that has it");
  if (config.seccomp && !config.seccomp->listener_path.empty()) {
    return refuse("linux.seccomp.listenerPath: a microVM's calls can't be seen from the host");
  }
  if (!config.time_offsets.empty() && config.find_namespace(NamespaceType::kTime) == nullptr) {
    return refuse("linux.timeOffsets: there is no time namespace");
  }
  const oci::Process& process = *spec.process;
  if (!process.apparmor_profile.empty() || !process.selinux_label.empty()) {
    warnings.emplace_back(
        "process.apparmorProfile and process.selinuxLabel mean nothing in a microVM: its kernel "
        "has neither");
  }
  return {};
}

// trivet-vminit adds those of the guest.
void plan_devices(oci::Linux& guest) {
  if (!allows_all_devices(guest)) return;
  std::erase_if(guest.devices,
                [](const oci::Device& device) { return !is_ordinary_device(device); });
}

// The namespaces are new ones in the guest, whose network is the machine's.
void plan_namespaces(oci::Linux& guest) {
  for (oci::Namespace& entry : guest.namespaces) {
    entry.path = entry.type == NamespaceType::kNetwork ? "/proc/1/ns/net" : "";
  }
}

// What is the host's to keep stays there: CPU time, and the CPUs themselves, which the guest counts
// from 0; input and output of the host's devices; swap, of which a guest has none.
// Several containers share a machine's CPU time, so each has its own limits in the guest, too.
void plan_resources(const GuestInputs& inputs, oci::Linux& guest) {
  guest.cgroups_path = "/container";
  if (inputs.number != 0) guest.cgroups_path += fmt::format("-{}", inputs.number);
  if (!guest.resources) return;
  oci::Resources& resources = *guest.resources;
  if (resources.cpu) {
    if (inputs.number == 0) {
      resources.cpu->quota.reset();
      resources.cpu->period.reset();
      resources.cpu->burst.reset();
    }
    resources.cpu->realtime_period.reset();
    resources.cpu->realtime_runtime.reset();
    resources.cpu->cpus.clear();
    resources.cpu->mems.clear();
  }
  if (resources.memory) {
    resources.memory->swap.reset();
    resources.memory->swappiness.reset();
    resources.memory->kernel.reset();
    resources.memory->kernel_tcp.reset();
  }
  resources.block_io.reset();
  resources.hugepage_limits.clear();
  resources.network.reset();
  resources.rdma.clear();
}

void plan_process(oci::Process& process) {
  process.apparmor_profile.clear();
  process.selinux_label.clear();
  process.oom_score_adj.reset();  // the VMM's, on the host
}

class MountPlanner {
 public:
  MountPlanner(const GuestInputs& inputs, GuestPlan& plan) : inputs_(inputs), plan_(plan) {}

  Result<> add(oci::Mount& mount) {
    if (inputs_.volumes != nullptr && use_volume(mount)) return {};
    if (!is_bind(mount)) return {};
    const std::string source = absolute(inputs_.bundle, mount.source);
    struct stat status{};
    // What isn't there is the engine's to complain of, on the host.
    const bool found = stat(source.c_str(), &status) == 0;
    if (found && !S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
      return refuse(
          fmt::format("mounts: \"{}\" on \"{}\": only directories and files can be shared "
                      "with a microVM",
                      source, mount.destination));
    }
    if (found && S_ISREG(status.st_mode) && is_private(normalized_path(source))) {
      copy(mount, source);
    } else {
      share(mount, source);
    }
    mount.uid_mappings.clear();  // done on the host
    mount.gid_mappings.clear();
    return {};
  }

 private:
  // What the guest has itself.
  bool use_volume(oci::Mount& mount) const {
    if (mount.destination == "/dev/shm") {
      mount = {.destination = mount.destination,
               .type = "bind",
               .source = fmt::format("{}/{}", guest::kVolumesDirectory, kShmVolume),
               .options = {"bind", "rprivate", "nosuid", "noexec", "nodev"}};
      return true;
    }
    const std::string& directory = inputs_.volumes->directory;
    const std::string source = normalized_path(absolute(inputs_.bundle, mount.source));
    if (!is_bind(mount) || source == directory || !is_below(source, directory)) return false;
    const std::string inner = source.substr(directory.size() + 1);
    if (!inputs_.volumes->inside.contains(inner.substr(0, inner.find('/')))) return false;
    mount.source = fmt::format("{}/{}", guest::kVolumesDirectory, inner);
    return true;
  }

  [[nodiscard]] bool is_private(const std::string& source) const {
    for (const std::string& directory : {inputs_.private_directory, inputs_.pod_directory}) {
      if (!directory.empty() && is_below(source, directory)) return true;
    }
    return false;
  }

  [[nodiscard]] std::string name_of(size_t index) const {
    if (inputs_.number == 0) return fmt::format("{}", index);
    return fmt::format("{}-{}", unsigned{inputs_.number}, index);
  }

  void copy(oci::Mount& mount, const std::string& source) {
    const std::string name = name_of(plan_.files.size());
    plan_.files.push_back({.name = name, .source = source});
    mount.source = fmt::format("{}/{}", guest::kFilesDirectory, name);
  }

  void share(oci::Mount& mount, const std::string& source) {
    const std::string name = name_of(plan_.shares.size());
    oci::Mount shared = mount;
    shared.source = source;
    shared.destination = "/share/" + name;
    plan_.shares.push_back(std::move(shared));
    // What is shared is the part already.
    std::erase_if(mount.options, [](const std::string& option) {
      return option.starts_with(container::kSubPathOption);
    });
    mount.source = fmt::format("{}/{}", guest::kShareDirectory, name);
  }

  const GuestInputs& inputs_;
  GuestPlan& plan_;
};

void plan_root(const oci::Spec& spec, const GuestInputs& inputs, GuestPlan& plan) {
  if (!inputs.root_is_shared) return;
  const std::string name = inputs.number == 0 ? "root" : fmt::format("{}-root", inputs.number);
  plan.shares.push_back({.destination = "/share/" + name,
                         .type = "bind",
                         .source = absolute(inputs.bundle, spec.root->path),
                         .options = {"rbind", "rprivate", spec.root->readonly ? "ro" : "rw"}});
  plan.guest.root->path = fmt::format("{}/{}", guest::kShareDirectory, name);
}

// What is on the host, where it is in the container. Where only the guest has something there is an
// empty place that can't be written, lest anything be lost there.
class ViewPlanner {
 public:
  explicit ViewPlanner(const GuestInputs& inputs) : inputs_(inputs) {}

  std::vector<oci::Mount> run(const oci::Spec& spec, const std::vector<oci::Mount>& mounts) && {
    bind({.destination = "/",
          .type = "bind",
          .source = spec.root->path,
          .options = {"rbind", "rprivate"}});
    for (const oci::Mount& mount : mounts) add(mount);
    if (spec.root->readonly) closed_.emplace_back("/");
    // Now that the mount points are made.
    for (const std::string& place : closed_) {
      view_.push_back({.destination = place, .options = {"remount", "ro"}});
    }
    return std::move(view_);
  }

 private:
  void bind(oci::Mount mount) {
    mount.source = absolute(inputs_.bundle, mount.source);
    view_.push_back(std::move(mount));
  }

  void add(const oci::Mount& mount) {
    if (is_bind(mount)) return bind(mount);
    if (mount.type == "proc") return view_.push_back(mount);  // of the machine's processes
    const bool is_inside = std::ranges::any_of(
        closed_, [&](const std::string& place) { return is_below(mount.destination, place); });
    if (is_inside) return;
    closed_.push_back(mount.destination);
    view_.push_back({.destination = mount.destination,
                     .type = "tmpfs",
                     .source = "tmpfs",
                     .options = {"nosuid", "nodev", "noexec", "mode=755", "size=64k"}});
  }

  const GuestInputs& inputs_;
  std::vector<oci::Mount> view_;
  std::vector<std::string> closed_;
};

// Hooks of the host run on the host, around the shell.
void plan_hooks(oci::Spec& guest) {
  guest.hooks = oci::Hooks{.start_container = std::move(guest.hooks.start_container)};
}

}  // namespace

Result<GuestPlan> plan_guest(const oci::Spec& spec, const GuestInputs& inputs) {
  GuestPlan plan{.guest = spec};
  TRY(check_linux(spec, plan.warnings));
  plan_root(spec, inputs, plan);
  if (inputs.volumes == nullptr) plan_shm(inputs.bundle, plan.guest);
  if (inputs.root_is_shared) plan.view = ViewPlanner(inputs).run(spec, plan.guest.mounts);
  MountPlanner mounts(inputs, plan);
  for (oci::Mount& mount : plan.guest.mounts) TRY(mounts.add(mount));
  plan_namespaces(*plan.guest.linux_config);
  plan_devices(*plan.guest.linux_config);
  plan_resources(inputs, *plan.guest.linux_config);
  plan_process(*plan.guest.process);
  plan_hooks(plan.guest);
  plan.guest.vm.reset();
  return plan;
}

}  // namespace trivet::payload::microvm
