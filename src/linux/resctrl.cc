#include "linux/resctrl.h"

#include <algorithm>
#include <ranges>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/text.h"
#include "linux/mount_table.h"

namespace trivet::resctrl {

namespace {

// Whether `lines`, the schemata of a group, have all of `wanted` ("L3:0=f;1=f").
bool has_schemata(const std::vector<std::string>& lines, const std::string& wanted) {
  return std::ranges::all_of(split(wanted, '\n'), [&](const std::string& line) {
    return std::ranges::any_of(lines, [&](const std::string& has) { return trim(has) == line; });
  });
}

Result<> check_existing(const std::string& group, const oci::IntelRdt& config) {
  const std::vector<std::string> lines = split(TRY(read_file(group + "/schemata")), '\n');
  for (const std::string& wanted : {config.l3_cache_schema, config.mem_bw_schema}) {
    if (wanted.empty() || has_schemata(lines, wanted)) continue;
    return fail(ErrorCode::kWrongState,
                "linux.intelRdt: the group \"{}\" exists and its schemata do not have \"{}\"",
                group, wanted);
  }
  return {};
}

Result<> write_schemata(const std::string& group, const oci::IntelRdt& config) {
  std::vector<std::string> lines = config.schemata;
  // In this order, so that `schemata` may refine the older fields.
  if (!config.mem_bw_schema.empty()) lines.insert(lines.begin(), config.mem_bw_schema);
  if (!config.l3_cache_schema.empty()) lines.insert(lines.begin(), config.l3_cache_schema);
  for (const std::string& line : lines) {
    TRY_IN(write_existing(AT_FDCWD, group + "/schemata", line + "\n"), "linux.intelRdt");
  }
  return {};
}

std::string control_group(const std::string& mount_point, const oci::IntelRdt& config,
                          const std::string& id) {
  if (config.clos_id == "/") return mount_point;
  return mount_point + "/" + (config.clos_id.empty() ? id : config.clos_id);
}

// True when it was not there before.
Result<bool> make_group(const std::string& path) {
  if (mkdir(path.c_str(), 0755) == 0) return true;
  if (errno == EEXIST) return false;
  return fail_errno("linux.intelRdt: mkdir \"{}\"", path);
}

}  // namespace

Result<std::string> find_mount_point() {
  for (const MountEntry& entry : TRY(read_mount_table())) {
    if (entry.type == "resctrl") return entry.mount_point;
  }
  return std::unexpected(
      Error(ErrorCode::kUnsupported, "linux.intelRdt: no resctrl file system is mounted")
          .hint("mount -t resctrl resctrl /sys/fs/resctrl, if the CPU can do it"));
}

Result<Groups> make_groups(const std::string& mount_point, const oci::IntelRdt& config,
                           const std::string& id) {
  Groups groups;
  Rollback rollback;
  rollback.add([&groups] { return remove_groups(groups.owned); });
  groups.control = control_group(mount_point, config, id);
  if (config.clos_id != "/") {
    if (TRY(make_group(groups.control))) {
      groups.owned.push_back(groups.control);
    } else {
      TRY(check_existing(groups.control, config));
    }
  }
  TRY(write_schemata(groups.control, config));
  if (config.enable_monitoring) {
    groups.monitoring = groups.control + "/mon_groups/" + id;
    if (TRY(make_group(groups.monitoring))) groups.owned.push_back(groups.monitoring);
  }
  rollback.commit();
  return groups;
}

Result<> update_schemata(const std::string& mount_point, const oci::IntelRdt& config,
                         const std::string& id) {
  return write_schemata(control_group(mount_point, config, id), config);
}

Result<> add_process(const Groups& groups, pid_t pid) {
  for (const std::string& group : {groups.control, groups.monitoring}) {
    if (group.empty()) continue;
    TRY_IN(write_existing(AT_FDCWD, group + "/tasks", fmt::format("{}\n", pid)), "linux.intelRdt");
  }
  return {};
}

Result<> remove_groups(const std::vector<std::string>& owned) {
  for (const std::string& group : std::views::reverse(owned)) {
    if (rmdir(group.c_str()) != 0 && errno != ENOENT) return fail_errno("rmdir \"{}\"", group);
  }
  return {};
}

}  // namespace trivet::resctrl
