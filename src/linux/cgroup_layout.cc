// Which hierarchies the host has: /proc/self/mountinfo and /proc/self/cgroup (cgroups(7)).
#include <algorithm>
#include <sys/statfs.h>

#include "base/fs.h"
#include "base/text.h"
#include "linux/cgroup.h"
#include "linux/mount_table.h"
#include <linux/magic.h>

namespace trivet::cgroup {

namespace {

// One line of /proc/self/cgroup: "4:memory:/user.slice", "0::/" for v2.
struct Membership {
  std::vector<std::string> controllers;
  std::string path;
};

// One cgroup line of mountinfo.
struct CgroupMount {
  std::string root;  // the part of the hierarchy that is mounted
  std::string mount_point;
  std::vector<std::string> super_options;
  bool v2 = false;
};

std::vector<Membership> parse_memberships(std::string_view text) {
  std::vector<Membership> memberships;
  for (const std::string& line : split(text, '\n')) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    Membership& entry = memberships.emplace_back();
    entry.path = line.substr(second + 1);
    if (second > first + 1) {
      entry.controllers = split(line.substr(first + 1, second - first - 1), ',');
    }
  }
  return memberships;
}

std::vector<CgroupMount> parse_mounts(std::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  for (MountEntry& entry : parse_mount_table(mountinfo)) {
    if (!entry.type.starts_with("cgroup")) continue;
    mounts.push_back({std::move(entry.root), std::move(entry.mount_point),
                      std::move(entry.super_options), entry.type == "cgroup2"});
  }
  return mounts;
}

bool is_hierarchy(const CgroupMount& mount, const Membership& membership) {
  if (membership.controllers.empty()) return mount.v2;
  return !mount.v2 && std::ranges::all_of(membership.controllers, [&](const std::string& name) {
    return std::ranges::find(mount.super_options, name) != mount.super_options.end();
  });
}

// The path of /proc/self/cgroup as it is below the mount point. They differ when only a part of
// the hierarchy is mounted, as in a container without a cgroup namespace.
std::string below_mount(const std::string& path, const std::string& root) {
  if (root == "/" || !path.starts_with(root)) return path;
  const std::string rest = path.substr(root.size());
  if (rest.empty()) return "/";
  return rest.front() == '/' ? rest : path;
}

// The last visible mount of a hierarchy whose root is inside our cgroup namespace; a mount of an
// outer root ("/..") serves only when there is no other.
const CgroupMount* choose_mount(const std::vector<CgroupMount>& mounts,
                                const Membership& membership, const IsVisible& is_visible) {
  const CgroupMount* chosen = nullptr;
  for (const CgroupMount& mount : mounts) {
    if (!is_hierarchy(mount, membership) || !is_visible(mount.mount_point, mount.v2)) continue;
    const bool same_place = chosen != nullptr && chosen->mount_point == mount.mount_point;
    const bool outer = chosen != nullptr && chosen->root.starts_with("/..");
    if (chosen == nullptr || same_place || (outer && !mount.root.starts_with("/.."))) {
      chosen = &mount;
    }
  }
  return chosen;
}

bool is_cgroup_filesystem(const std::string& mount_point, bool v2) {
  struct statfs status{};
  if (statfs(mount_point.c_str(), &status) != 0) return false;
  return status.f_type == (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

}  // namespace

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::kV2:
      return "v2";
    case Mode::kV1:
      return "v1";
    case Mode::kHybrid:
      return "hybrid";
  }
  return "v2";
}

Result<Driver> parse_driver(std::string_view name) {
  if (name == "cgroupfs") return Driver::kCgroupfs;
  if (name == "systemd") return Driver::kSystemd;
  if (name == "disabled") return Driver::kDisabled;
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("unknown cgroup manager \"{}\"", name))
          .hint("known are cgroupfs, systemd and disabled"));
}

Result<Layout> parse_layout(std::string_view mountinfo, std::string_view own_cgroups,
                            const IsVisible& is_visible) {
  const std::vector<CgroupMount> mounts = parse_mounts(mountinfo);
  Layout layout;
  bool has_v1 = false;
  bool has_v2 = false;
  for (Membership& membership : parse_memberships(own_cgroups)) {
    const CgroupMount* mount = choose_mount(mounts, membership, is_visible);
    if (mount == nullptr) continue;
    (mount->v2 ? has_v2 : has_v1) = true;
    layout.hierarchies.push_back({mount->mount_point, std::move(membership.controllers), mount->v2,
                                  below_mount(membership.path, mount->root)});
  }
  if (layout.hierarchies.empty()) {
    return std::unexpected(Error(ErrorCode::kUnsupported, "no cgroup hierarchy is mounted")
                               .hint("mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup"));
  }
  if (has_v1) layout.mode = has_v2 ? Mode::kHybrid : Mode::kV1;
  return layout;
}

Result<Layout> Layout::detect() {
  const std::string mountinfo = TRY(read_file("/proc/self/mountinfo"));
  const std::string own_cgroups = TRY(read_file("/proc/self/cgroup"));
  Layout layout = TRY(parse_layout(mountinfo, own_cgroups, is_cgroup_filesystem));
  for (Hierarchy& hierarchy : layout.hierarchies) {
    if (!hierarchy.v2) continue;
    const std::string text = TRY(read_file(hierarchy.mount_point + "/cgroup.controllers"));
    if (!trim(text).empty()) hierarchy.controllers = split(trim(text), ' ');
  }
  return layout;
}

}  // namespace trivet::cgroup
