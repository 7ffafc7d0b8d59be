#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "container/plan.h"
#include <linux/mount.h>
#include <linux/sched.h>

namespace trivet::container {

namespace {

constexpr size_t kClassicMountData = 4000;  // mount(2) takes one page of options

struct DefaultDevice {
  const char* path;
  uint32_t major;
  uint32_t minor;
};
// runtime-spec, config-linux.md: Default Devices.
constexpr auto kDefaultDevices = std::to_array<DefaultDevice>({
    {"/dev/null", 1, 3},
    {"/dev/zero", 1, 5},
    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8},
    {"/dev/urandom", 1, 9},
    {"/dev/tty", 5, 0},
});

struct DefaultSymlink {
  const char* target;
  const char* path;
};
constexpr auto kDefaultSymlinks = std::to_array<DefaultSymlink>({
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
    {"pts/ptmx", "/dev/ptmx"},
});

bool has_user_namespace(const oci::Spec& spec) {
  return spec.linux_config &&
         spec.linux_config->find_namespace(oci::NamespaceType::kUser) != nullptr;
}

std::string absolute(const std::string& base, const std::string& path) {
  return path.starts_with('/') ? path : base + "/" + path;
}

// The classic form carries everything in one string; see mount_root() of the stage.
MountPlan plan_overlay(const OverlayRoot& overlay, const std::string& mount_point) {
  std::string lower;
  for (const std::string& directory : overlay.lower_directories) {
    lower += (lower.empty() ? "" : ":") + directory;
  }
  std::string data = "lowerdir=" + lower;
  if (!overlay.upper_directory.empty()) {
    data += fmt::format(",upperdir={},workdir={}{}", overlay.upper_directory,
                        overlay.work_directory, overlay.discarded ? ",volatile" : "");
  }
  MountPlan plan{.kind = stage::MountKind::kFilesystem,
                 .type = "overlay",
                 .source = "overlay",
                 .target = mount_point,
                 .options = {}};
  if (data.size() < kClassicMountData) {
    plan.kind = stage::MountKind::kRemount;
    plan.options.parameters = {{"data", data}};
    return plan;
  }
  for (const std::string& directory : overlay.lower_directories) {
    plan.options.parameters.emplace_back("lowerdir+", directory);
  }
  if (overlay.upper_directory.empty()) return plan;
  plan.options.parameters.emplace_back("upperdir", overlay.upper_directory);
  plan.options.parameters.emplace_back("workdir", overlay.work_directory);
  if (overlay.discarded) plan.options.parameters.emplace_back("volatile", "");
  return plan;
}

Result<MountPlan> plan_root_mount(const oci::Spec& spec, const RootInputs& inputs) {
  if (inputs.overlay) return plan_overlay(*inputs.overlay, inputs.overlay_mount_point);
  const std::string path = absolute(inputs.bundle, spec.root->path);
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return fail_errno("root.path: \"{}\"", path);
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::kInvalidArgument, "root.path: \"{}\" is not a directory", path);
  }
  MountPlan plan{
      .kind = stage::MountKind::kBind, .type = "", .source = path, .target = path, .options = {}};
  plan.options.recursive = true;
  return plan;
}

// On v1 and hybrid hosts a "cgroup" mount is a tmpfs with one directory a hierarchy.
void plan_cgroup_v1(const oci::Mount& mount, const MountOptions& options,
                    const cgroup::Paths& paths, std::vector<MountPlan>& plans) {
  MountPlan base{.kind = stage::MountKind::kFilesystem,
                 .type = "tmpfs",
                 .source = "cgroup",
                 .target = mount.destination,
                 .options = options};
  base.options.attr_set &= ~static_cast<uint64_t>(MOUNT_ATTR_RDONLY);
  base.options.parameters = {{"mode", "755"}};
  plans.push_back(std::move(base));
  std::set<std::string> done;
  for (const auto& [controller, directory] : paths.by_controller) {
    // On a hybrid host the v2 tree is named, but joined only where a limit needs it.
    if (std::ranges::find(paths.directories, directory) == paths.directories.end()) continue;
    if (!done.insert(directory).second) continue;
    const std::string name = controller.starts_with("name=") ? controller.substr(5) : controller;
    MountPlan bind{.kind = stage::MountKind::kBind,
                   .type = "",
                   .source = directory,
                   .target = mount.destination + "/" + (name.empty() ? "unified" : name),
                   .options = {}};
    bind.options.attr_set = options.attr_set;
    plans.push_back(std::move(bind));
  }
  if ((options.attr_set & MOUNT_ATTR_RDONLY) != 0) {
    MountPlan protect{.kind = stage::MountKind::kRemount,
                      .type = "",
                      .source = "",
                      .target = mount.destination,
                      .options = {}};
    protect.options.attr_set = MOUNT_ATTR_RDONLY;
    plans.push_back(std::move(protect));
  }
}

void plan_cgroup(const oci::Spec& spec, const oci::Mount& mount, const MountOptions& options,
                 const cgroup::Paths* paths, std::vector<MountPlan>& plans) {
  if (paths == nullptr || paths->directories.empty()) return;
  if (paths->mode != cgroup::Mode::kV2) return plan_cgroup_v1(mount, options, *paths, plans);
  MountPlan plan{.kind = stage::MountKind::kFilesystem,
                 .type = "cgroup2",
                 .source = "cgroup2",
                 .target = mount.destination,
                 .options = options};
  if (spec.linux_config->find_namespace(oci::NamespaceType::kCgroup) == nullptr) {
    plan.kind = stage::MountKind::kBind;
    plan.source = paths->directories.front();
  }
  plan.options.parameters.clear();
  plans.push_back(std::move(plan));
}

bool has_parameter(const MountOptions& options, std::string_view name) {
  return std::ranges::any_of(options.parameters,
                             [name](const auto& parameter) { return parameter.first == name; });
}

// SELinux labels the files of these file systems by itself.
bool takes_mount_label(const MountPlan& plan) {
  return plan.kind == stage::MountKind::kFilesystem && plan.type != "proc" && plan.type != "sysfs";
}

// Mappings without the option mean "idmap"; the option without mappings means those of the
// container's user namespace (runtime-spec, config.md: uidMappings of a mount).
Result<std::optional<MountIdMap>> plan_id_map(const oci::Spec& spec, const oci::Mount& mount,
                                              const MountPlan& plan) {
  const bool has_maps = !mount.uid_mappings.empty() || !mount.gid_mappings.empty();
  if (!plan.options.idmap && !has_maps) return std::nullopt;
  const auto& uids = has_maps ? mount.uid_mappings : spec.linux_config->uid_mappings;
  const auto& gids = has_maps ? mount.gid_mappings : spec.linux_config->gid_mappings;
  if (plan.kind != stage::MountKind::kBind) {
    return fail(ErrorCode::kUnsupported, "mount \"{}\": only bind mounts can be idmapped",
                mount.destination);
  }
  if (uids.empty() || gids.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "mount \"{}\": an idmapped mount needs uidMappings and gidMappings, its own or the "
                "container's",
                mount.destination);
  }
  return MountIdMap{.uid_map = print_id_map(uids),
                    .gid_map = print_id_map(gids),
                    .recursive = plan.options.idmap_recursive};
}

Result<> plan_mount(const oci::Spec& spec, const oci::Mount& mount, const RootInputs& inputs,
                    std::vector<MountPlan>& plans) {
  MountOptions options =
      TRY_IN(parse_mount_options(mount.options), "mount \"{}\"", mount.destination);
  if (options.copy_up && mount.type != "tmpfs") {
    return fail(ErrorCode::kInvalidArgument,
                "mount \"{}\": option \"tmpcopyup\" goes with type \"tmpfs\" only",
                mount.destination);
  }
  if (mount.type == "cgroup" || mount.type == "cgroup2") {
    plan_cgroup(spec, mount, options, inputs.cgroup, plans);
    return {};
  }
  MountPlan plan{.kind = stage::MountKind::kFilesystem,
                 .type = mount.type,
                 .source = mount.source,
                 .target = mount.destination,
                 .options = std::move(options)};
  if (plan.options.remount) {
    plan.kind = stage::MountKind::kRemount;
  } else if (plan.options.bind || mount.type == "bind") {
    plan.kind = stage::MountKind::kBind;
    plan.source = absolute(inputs.bundle, mount.source);
    // Options that the table does not have are for mount(2)'s data, which means nothing to a bind.
    plan.options.parameters.clear();
  } else if (mount.type.empty() || mount.type == "none") {
    if (plan.options.propagation == 0) {
      return fail(ErrorCode::kInvalidArgument, "mount \"{}\": type is missing", mount.destination);
    }
    plan.kind = stage::MountKind::kRemount;
  }
  plan.id_map = TRY(plan_id_map(spec, mount, plan));
  plan.inherit_mode = plan.kind == stage::MountKind::kFilesystem && mount.type == "tmpfs" &&
                      !has_parameter(plan.options, "mode");
  if (takes_mount_label(plan) && !spec.linux_config->mount_label.empty() && has_selinux()) {
    plan.options.parameters.emplace_back("context", spec.linux_config->mount_label);
  }
  plans.push_back(std::move(plan));
  return {};
}

// A /dev that is bound from elsewhere is left as it is.
bool dev_is_bound(const std::vector<MountPlan>& mounts) {
  return std::ranges::any_of(mounts, [](const MountPlan& mount) {
    return mount.target == "/dev" && mount.kind == stage::MountKind::kBind;
  });
}

uint32_t type_bits(char type) {
  switch (type) {
    case 'b':
      return S_IFBLK;
    case 'p':
      return S_IFIFO;
    default:
      return S_IFCHR;
  }
}

void plan_devices(const oci::Spec& spec, const RootInputs& inputs, RootPlan& plan) {
  if (dev_is_bound(plan.mounts)) return;
  const bool bind = has_user_namespace(spec) || inputs.in_user_namespace;
  for (const DefaultDevice& device : kDefaultDevices) {
    plan.devices.push_back({.path = device.path,
                            .mode = S_IFCHR | 0666,
                            .major = device.major,
                            .minor = device.minor,
                            .uid = 0,
                            .gid = 0,
                            .bind = bind});
  }
  for (const oci::Device& device : spec.linux_config->devices) {
    std::erase_if(plan.devices, [&](const DevicePlan& known) { return known.path == device.path; });
    plan.devices.push_back(
        {.path = device.path,
         .mode = type_bits(device.type) | (device.file_mode.value_or(0666) & 07777U),
         .major = static_cast<uint32_t>(device.major),
         .minor = static_cast<uint32_t>(device.minor),
         .uid = device.uid.value_or(0),
         .gid = device.gid.value_or(0),
         .bind = bind && device.type != 'p'});
  }
  for (const DefaultSymlink& link : kDefaultSymlinks)
    plan.symlinks.push_back({link.target, link.path});
}

}  // namespace

Result<RootPlan> plan_root(const oci::Spec& spec, const RootInputs& inputs) {
  RootPlan plan;
  plan.root = TRY(plan_root_mount(spec, inputs));
  plan.readonly = spec.root && spec.root->readonly;
  plan.no_pivot = inputs.no_pivot;
  const oci::Namespace* mounts = spec.linux_config->find_namespace(oci::NamespaceType::kMount);
  plan.joined_mounts = mounts != nullptr && !mounts->path.empty();
  const uint64_t wanted = TRY(parse_propagation(spec.linux_config->rootfs_propagation));
  // Shared with the host only on request; otherwise the host's mounts still arrive (slave), as with
  // runc, and nothing goes back.
  plan.propagation = (wanted & MS_SHARED) != 0 ? wanted : MS_SLAVE | MS_REC;
  plan.root.options.propagation = (wanted & MS_SHARED) != 0 ? MS_PRIVATE : 0;
  plan.final_propagation = wanted;
  for (const oci::Mount& mount : spec.mounts) {
    TRY(plan_mount(spec, mount, inputs, plan.mounts));
  }
  if (inputs.program != nullptr) {
    for (const oci::Mount& mount : inputs.program->shown) {
      TRY(plan_mount(spec, mount, inputs, plan.shown));
    }
  }
  plan_devices(spec, inputs, plan);
  plan.masked_paths = spec.linux_config->masked_paths;
  plan.readonly_paths = spec.linux_config->readonly_paths;
  return plan;
}

}  // namespace trivet::container
