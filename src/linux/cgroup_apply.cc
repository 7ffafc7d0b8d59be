// Writing the limits that cgroup_plan.h has planned.
#include <algorithm>
#include <set>
#include <unistd.h>
#include <utility>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "linux/cgroup.h"
#include "linux/cgroup_devices.h"
#include "linux/cgroup_files.h"
#include "linux/cgroup_plan.h"

namespace trivet::cgroup {

namespace {

constexpr const char* kUnified = "unified";
constexpr const char* kCpuset = "cpuset";
constexpr int kErrnoNotSupported = 524;  // ENOTSUPP: what the kernel's retired memory.kmem gives

std::unexpected<Error> no_controller(const std::string& field, const std::string& controller) {
  return fail(ErrorCode::kUnsupported, "{}: this host has no \"{}\" cgroup controller", field,
              controller);
}

Result<std::string> full_value(const std::string& directory, const Setting& setting,
                               const ControlWrite& write) {
  if (!setting.keep_first_word) return write.value;
  const std::string present = TRY(read_control(directory, write.file));
  return present.substr(0, present.find(' ')) + " " + write.value;
}

Result<> write_setting(const std::string& directory, const Setting& setting) {
  TRY(check_usage(directory, setting));
  for (const ControlWrite& write : setting.writes) {
    auto value = full_value(directory, setting, write);
    auto written =
        value ? write_control(directory, write.file, *value) : std::unexpected(value.error());
    if (written) return {};
    if (written.error().errnum() == ENOENT) continue;
    if (written.error().errnum() != kErrnoNotSupported) {
      return std::unexpected(std::move(written).error().in(setting.field));
    }
  }
  if (setting.optional) return {};
  return fail(ErrorCode::kUnsupported, "{}: this kernel has no such limit (\"{}\")", setting.field,
              setting.writes.front().file);
}

// Limits that bound each other can be in the wrong order for the values there were: those that the
// kernel refuses as invalid get another turn as long as a turn changes something.
template <typename Write>
Result<> write_all_settings(std::vector<Setting> settings, const Write& write) {
  for (;;) {
    std::vector<Setting> refused;
    Result<> failure;
    for (Setting& setting : settings) {
      auto written = write(setting);
      if (written) continue;
      const int errnum = written.error().errnum();
      if (errnum != EINVAL) return written;
      if (failure) failure = std::move(written);
      refused.push_back(std::move(setting));
    }
    if (refused.empty()) return {};
    if (refused.size() == settings.size()) return failure;
    settings = std::move(refused);
  }
}

Result<> apply_devices_v1(const std::string& directory, const DevicePolicy& policy) {
  const std::string current = TRY(read_control(directory, "devices.list"));
  const std::vector<DeviceWrite> writes = TRY(plan_devices_v1(policy, current));
  UniqueFd allow;
  UniqueFd deny;
  for (const DeviceWrite& write : writes) {
    UniqueFd& fd = write.allow ? allow : deny;
    const std::string file = directory + (write.allow ? "/devices.allow" : "/devices.deny");
    if (!fd) fd = TRY(open_file(file, O_WRONLY));
    TRY(write_all(fd.get(), write.line, file));
  }
  return {};
}

// That of a v1 controller, or the "unified" one.
const Hierarchy* find_hierarchy(const Layout& layout, const std::string& key) {
  const auto found = std::ranges::find_if(layout.hierarchies, [&](const Hierarchy& hierarchy) {
    return hierarchy.v2 ? key == kUnified : has_controller(hierarchy, key);
  });
  return found == layout.hierarchies.end() ? nullptr : &*found;
}

// Keys of `unified` that a hybrid host's v2 tree can serve, as settings of their own.
Result<std::vector<Setting>> plan_hybrid(const oci::Resources& resources) {
  oci::Resources v2;
  v2.hugepage_limits = resources.hugepage_limits;
  v2.rdma = resources.rdma;
  v2.unified = resources.unified;
  return plan_v2(v2);
}

}  // namespace

bool is_ordinary_user() {
  return geteuid() != 0 || in_user_namespace();
}

// What the limit may not fall below without killing: checkBeforeUpdate.
Result<> check_usage(const std::string& directory, const Setting& setting) {
  if (setting.refuse_below_usage == 0) return {};
  const bool v2 = setting.writes.front().file == "memory.max";
  const char* file = v2 ? "memory.current" : "memory.usage_in_bytes";
  const uint64_t usage = TRY(read_number(directory, file));
  if (usage <= setting.refuse_below_usage) return {};
  return fail(ErrorCode::kInvalidArgument, "{}: {} bytes is less than what is in use ({} bytes)",
              setting.field, setting.refuse_below_usage, usage);
}

// Takes the processes into a further hierarchy, and those that are born meanwhile.
Result<> Cgroup::move_processes(const std::string& directory) const {
  std::set<pid_t> known;
  for (bool moved = true; std::exchange(moved, false);) {
    const std::vector<pid_t> all = TRY(processes());
    for (const pid_t pid : TRY(processes_below(directory))) known.insert(pid);
    for (const pid_t pid : all) {
      if (!known.insert(pid).second) continue;
      const auto written = write_control(directory, "cgroup.procs", fmt::format("{}", pid));
      if (!written && written.error().errnum() != ESRCH) return written;  // ESRCH: it has ended
      if (written) moved = true;
    }
  }
  return {};
}

// Makes the directory in a hierarchy that create() has left out.
Result<> Cgroup::use_hierarchy(const std::string& key) {
  const std::string directory = directory_of(key);
  const bool used = std::ranges::find(paths_.directories, directory) != paths_.directories.end();
  if (used) return {};
  const Layout layout = TRY(Layout::detect());
  const Hierarchy* hierarchy = find_hierarchy(layout, key);
  if (hierarchy == nullptr) {
    return fail(ErrorCode::kUnsupported, "the cgroup hierarchy \"{}\" is not mounted", key);
  }
  TRY(make_directory(hierarchy->mount_point, directory));
  if (!hierarchy->v2 && key == kCpuset) TRY(inherit_cpuset(hierarchy->mount_point, directory));
  paths_.directories.push_back(directory);
  return move_processes(directory);
}

// Makes sure that a controller works in our directory.
Result<> Cgroup::require_controller(const std::string& controller, const std::string& field) {
  const std::string directory = directory_of(controller);
  if (directory.empty()) return no_controller(field, controller);
  if (directory != directory_of(kUnified)) {
    if (controller == kCpuset) TRY_IN(use_hierarchy(kCpuset), "{}", field);
    return {};
  }
  if (paths_.mode == Mode::kHybrid) TRY_IN(use_hierarchy(kUnified), "{}", field);
  const auto enabled = read_control(directory, "cgroup.controllers");
  if (enabled) {
    const std::vector<std::string> names = split(trim(*enabled), ' ');
    if (std::ranges::find(names, controller) != names.end()) return {};
  }
  const Layout layout = TRY(Layout::detect());
  const Hierarchy* hierarchy = find_hierarchy(layout, kUnified);
  if (hierarchy == nullptr) return no_controller(field, controller);
  auto enabled_now = enable_controller(hierarchy->mount_point, directory, controller);
  if (enabled_now) return {};
  Error error = std::move(enabled_now).error().in(field);
  if (is_ordinary_user()) {
    error = std::move(error).hint(fmt::format(
        "the controller \"{}\" is not delegated to this user; with systemd: Delegate=cpu cpuset io "
        "memory pids in /etc/systemd/system/user@.service.d/delegate.conf",
        controller));
  }
  return std::unexpected(std::move(error));
}

// The kernel lets ordinary users make no device nodes, nor write the devices controller or load its
// programs: there is nothing left to forbid.
Result<> Cgroup::apply_devices(const std::vector<oci::DeviceRule>& rules) const {
  if (rules.empty() && !created_) return {};
  const DevicePolicy policy = TRY(make_device_policy(rules));
  const bool v2 = paths_.mode == Mode::kV2;
  const std::string directory = directory_of(v2 ? kUnified : "devices");
  Result<> applied;
  if (directory.empty()) {
    applied = no_controller("linux.resources.devices", "devices");
  } else if (v2) {
    // An unrestricted container needs no program.
    const bool nothing = policy.default_allow && policy.exceptions.empty() && created_;
    if (!nothing) applied = attach_device_program(directory, device_program(policy));
  } else {
    applied = apply_devices_v1(directory, policy);
  }
  if (applied || is_ordinary_user()) return {};
  return std::unexpected(std::move(applied).error().in("linux.resources.devices"));
}

Result<> Cgroup::apply(const oci::Resources& resources) {
  // First, because systemd writes whole percents of a CPU where the files take any number.
  if (paths_.scope) TRY(set_scope_properties(resources));
  TRY(apply_limits(resources));
  return apply_devices(resources.devices);
}

Result<std::vector<Setting>> Cgroup::plan_limits(const oci::Resources& resources) const {
  if (paths_.mode == Mode::kV2) return plan_v2(resources);
  std::vector<Setting> settings = TRY(plan_v1(resources));
  if (paths_.mode == Mode::kV1) {
    if (resources.unified.empty()) return settings;
    return fail(ErrorCode::kUnsupported, "linux.resources.unified: this host has cgroup v1 only");
  }
  // hugetlb and rdma belong to whichever tree has the controller.
  const std::string unified = directory_of(kUnified);
  std::erase_if(settings, [&](const Setting& s) { return directory_of(s.controller) == unified; });
  for (Setting& setting : TRY(plan_hybrid(resources))) {
    const std::string directory = directory_of(setting.controller);
    const bool v2_only = setting.field.starts_with("linux.resources.unified");
    if (directory == unified || v2_only) settings.push_back(std::move(setting));
  }
  return settings;
}

Result<> Cgroup::require_controllers(const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    if (setting.controller == "cgroup") continue;
    if (setting.optional && directory_of(setting.controller).empty()) continue;
    TRY(require_controller(setting.controller, setting.field));
  }
  return {};
}

Result<> Cgroup::prepare(const oci::Resources& resources) {
  const bool is_late =
      !resources.hugepage_limits.empty() || !resources.rdma.empty() || !resources.unified.empty();
  if (paths_.mode != Mode::kHybrid || !is_late) return {};
  return require_controllers(TRY(plan_limits(resources)));
}

Result<> Cgroup::apply_limits(const oci::Resources& resources) {
  std::vector<Setting> settings = TRY(plan_limits(resources));
  TRY(require_controllers(settings));
  std::erase_if(settings,
                [&](const Setting& s) { return s.optional && directory_of(s.controller).empty(); });
  return write_all_settings(std::move(settings), [&](const Setting& setting) {
    const bool plain = setting.controller == "cgroup";
    return write_setting(directory_of(plain ? kUnified : setting.controller), setting);
  });
}

}  // namespace trivet::cgroup
