// A cgroup that systemd keeps: the scope, and who may move processes there.
#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "linux/cgroup.h"
#include "linux/cgroup_files.h"
#include "linux/systemd_client.h"

namespace trivet::cgroup {

namespace {

using systemd::Manager;
using systemd::Property;

Manager manager_of(const Scope& scope) {
  return scope.of_user ? Manager::kUser : Manager::kSystem;
}

void append(std::vector<Property>& properties, std::vector<Property> more) {
  std::ranges::move(more, std::back_inserter(properties));
}

Result<std::vector<Setting>> plan(Mode mode, const oci::Resources& resources) {
  return mode == Mode::kV2 ? plan_v2(resources) : plan_v1(resources);
}

Result<std::vector<Property>> plan_device_properties(Mode mode,
                                                     const std::vector<oci::DeviceRule>& rules) {
  if (mode == Mode::kV2) return std::vector<Property>{};
  const DevicePolicy policy = TRY(make_device_policy(rules));
  return systemd::plan_devices(policy, read_file("/proc/devices").value_or(""));
}

// Defaults for what can't be read: then there is no such controller, and no limit of it.
systemd::CpuMax read_cpu_max(Mode mode, const std::string& directory) {
  systemd::CpuMax cpu;
  const char* quota_file = mode == Mode::kV2 ? "cpu.max" : "cpu.cfs_quota_us";
  const std::string text = read_control(directory, quota_file).value_or("");
  const std::vector<std::string> words = split(trim(text), ' ');
  cpu.quota = parse_int(words.front()).value_or(-1);
  if (mode != Mode::kV2) {
    cpu.period = read_number(directory, "cpu.cfs_period_us").value_or(cpu.period);
  } else if (words.size() == 2) {
    cpu.period = static_cast<uint64_t>(parse_int(words[1]).value_or(100000));
  }
  return cpu;
}

// "/a/b/c" and "/a/b/d" to "/a/b".
std::string common_parent(const std::string& a, const std::string& b) {
  const size_t length = std::min(a.size(), b.size());
  size_t end = 0;
  for (size_t i = 0; i <= length; ++i) {
    const bool ends_a = i == a.size() || a[i] == '/';
    const bool ends_b = i == b.size() || b[i] == '/';
    if (ends_a && ends_b) end = i;
    if (i == length || a[i] != b[i]) break;
  }
  return a.substr(0, end);
}

bool is_writable(const std::string& directory) {
  return faccessat(AT_FDCWD, (directory + "/cgroup.procs").c_str(), W_OK, AT_EACCESS) == 0;
}

std::vector<std::string> delegated_files() {
  const auto text = read_file("/sys/kernel/cgroup/delegate");  // since kernel 4.15
  if (!text) return {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"};
  std::vector<std::string> files = split(trim(*text), '\n');
  // A container's own memory.oom.group and memory.reclaim are in the list of newer kernels: fine.
  std::erase(files, "");
  return files;
}

Result<> chown_if_there(const std::string& path, uid_t uid) {
  if (chown(path.c_str(), uid, static_cast<gid_t>(-1)) == 0 || errno == ENOENT) return {};
  return fail_errno("chown \"{}\" to {}", path, uid);
}

}  // namespace

Result<Cgroup> Cgroup::name_scope(const Layout& layout, const std::string& cgroups_path,
                                  const std::string& id) {
  const Manager manager = systemd::choose_manager();
  const bool of_user = manager == Manager::kUser;
  if (of_user && layout.mode != Mode::kV2) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported,
              "the systemd cgroup driver of ordinary users needs cgroup v2 on the host")
            .hint("use the cgroupfs driver (no --systemd-cgroup, --cgroup-manager=cgroupfs)"));
  }
  const systemd::ScopeName name =
      TRY(systemd::parse_scope_name(cgroups_path, id, of_user ? "user.slice" : "system.slice"));
  std::string place;
  if (of_user) {
    place = TRY(systemd::find_root(manager));
  } else {
    place = systemd::manager_root(TRY(read_file("/proc/1/cgroup")));
  }
  place += TRY(systemd::slice_path(name.slice));
  place += "/" + name.unit;
  Paths paths;
  paths.mode = layout.mode;
  paths.scope = Scope{.unit = name.unit, .slice = name.slice, .of_user = of_user};
  for (const Hierarchy& hierarchy : layout.hierarchies) {
    const std::string directory = hierarchy.mount_point + place;
    for (const std::string& controller : hierarchy.controllers) {
      paths.by_controller[controller] = directory;
    }
    if (hierarchy.v2) paths.by_controller["unified"] = directory;
    paths.directories.push_back(directory);
  }
  Cgroup cgroup(std::move(paths));
  cgroup.created_ = true;
  cgroup.awaits_start_ = true;
  return cgroup;
}

void Cgroup::remove_unused_scope(const Layout& layout, const std::string& cgroups_path,
                                 const std::string& id) {
  if (layout.mode == Mode::kV2) return;
  const auto cgroup = name_scope(layout, cgroups_path, id);
  if (!cgroup) return;
  for (const std::string& directory : cgroup->paths_.directories) rmdir(directory.c_str());
}

Result<> Cgroup::start_scope(pid_t first, const std::string& id, const oci::Resources& resources,
                             const std::map<std::string, std::string>& annotations) {
  const Scope& scope = *paths_.scope;
  std::vector<Property> properties =
      systemd::plan_scope({.slice = scope.slice, .unit = scope.unit}, "trivet container " + id,
                          first, paths_.mode == Mode::kV2);
  append(properties, TRY(systemd::plan_limits(TRY(plan(paths_.mode, resources)), {})));
  append(properties, TRY(plan_device_properties(paths_.mode, resources.devices)));
  append(properties, TRY(systemd::plan_annotations(annotations)));
  const std::string place = TRY(systemd::start_scope(manager_of(scope), scope.unit, properties));
  awaits_start_ = false;
  const bool as_planned = paths_.directories.front().ends_with(place) && !place.empty();
  auto joined = as_planned
                    ? join_other_hierarchies(first)
                    : fail(ErrorCode::kCorrupt, "systemd has made the cgroup \"{}\", not \"{}\"",
                           place, paths_.directories.front());
  if (joined) return {};
  if (auto removed = remove(); !removed) {
    return std::unexpected(std::move(joined).error().note(removed.error()));
  }
  return joined;
}

// On v1 systemd has but some of the controllers: freezer, cpuset and others are ours.
Result<> Cgroup::join_other_hierarchies(pid_t pid) const {
  if (paths_.mode == Mode::kV2) return {};
  const Layout layout = TRY(Layout::detect());
  for (size_t i = 0; i < layout.hierarchies.size() && i < paths_.directories.size(); ++i) {
    const std::string& directory = paths_.directories[i];
    const Hierarchy& hierarchy = layout.hierarchies[i];
    TRY(make_directory(hierarchy.mount_point, directory));
    if (has_controller(hierarchy, "cpuset")) {
      TRY(inherit_cpuset(hierarchy.mount_point, directory));
    }
    TRY(write_control(directory, "cgroup.procs", fmt::format("{}", pid)));
  }
  return {};
}

Result<> Cgroup::set_scope_properties(const oci::Resources& resources) const {
  const std::vector<Setting> settings = TRY(plan(paths_.mode, resources));
  for (const Setting& setting : settings) {
    TRY(check_usage(directory_of(setting.controller), setting));
  }
  std::vector<Property> properties =
      TRY(systemd::plan_limits(settings, read_cpu_max(paths_.mode, directory_of("cpu"))));
  if (!resources.devices.empty()) {
    append(properties, TRY(plan_device_properties(paths_.mode, resources.devices)));
  }
  return systemd::set_properties(manager_of(*paths_.scope), paths_.scope->unit, properties);
}

// systemd would ask the processes to end first, and wait: they are killed before. Where it can't be
// reached any more, removing the cgroup is all there is to do.
Result<> Cgroup::stop_scope() const {
  if (!TRY(processes()).empty()) TRY(kill_all());
  auto stopped = systemd::stop_unit(manager_of(*paths_.scope), paths_.scope->unit);
  if (!stopped && stopped.error().code() == ErrorCode::kUnsupported) return {};
  return stopped;
}

bool Cgroup::is_in_reach() const {
  if (!is_ordinary_user() || paths_.mode != Mode::kV2 || paths_.directories.empty()) return true;
  const auto layout = Layout::detect();
  if (!layout) return true;
  const Hierarchy& hierarchy = layout->hierarchies.front();
  const std::string own =
      hierarchy.mount_point + (hierarchy.own_path == "/" ? "" : hierarchy.own_path);
  const std::string& directory = paths_.directories.front();
  return is_writable(directory) && is_writable(common_parent(own, directory));
}

Result<> Cgroup::attach_process(pid_t pid) const {
  const std::string subgroup = scope_subgroup_.empty() ? "/" : scope_subgroup_;
  return systemd::attach_process(manager_of(*paths_.scope), paths_.scope->unit, subgroup, pid);
}

Result<> Cgroup::delegate_to(uid_t uid) const {
  if (paths_.mode != Mode::kV2 || paths_.directories.empty()) return {};
  const std::string& directory = paths_.directories.front();
  TRY(chown_if_there(directory, uid));
  for (const std::string& file : delegated_files()) {
    TRY(chown_if_there(directory + "/" + file, uid));
  }
  return {};
}

}  // namespace trivet::cgroup
