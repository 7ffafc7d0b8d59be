// A cgroup of its own with a limit, which is read back.
#include <unistd.h>

#include "base/text.h"
#include "doctor/trial.h"
#include "linux/cgroup.h"

namespace trivet::doctor {

namespace {

constexpr int64_t kLimit = 64LL << 20U;

std::vector<std::string> missing_controllers(const cgroup::Layout& layout) {
  std::vector<std::string> missing{"cpu", "memory", "pids"};
  for (const cgroup::Hierarchy& hierarchy : layout.hierarchies) {
    for (const std::string& name : hierarchy.controllers) std::erase(missing, name);
  }
  return missing;
}

Result<> try_limit(const cgroup::Layout& layout) {
  const std::string id = fmt::format("doctor-{}-{}", getpid(), random_hex(4));
  auto made = TRY(cgroup::Cgroup::create(layout, "", id));
  oci::Resources resources;
  resources.memory.emplace().limit = kLimit;
  auto applied = made.apply_limits(resources);
  if (applied) {
    const auto stats = made.stats();
    if (stats && stats->memory_limit != static_cast<uint64_t>(kLimit)) {
      applied =
          fail(ErrorCode::kSystem, "a memory limit was set and reads as {}", stats->memory_limit);
    }
  }
  const auto removed = made.remove();
  return applied ? removed : applied;
}

}  // namespace

DoctorCheck check_cgroups() {
  DoctorCheck check = make_check("cgroups", "limits of memory, CPU and processes; pause; stats");
  const auto layout = cgroup::Layout::detect();
  if (!layout) {
    set_missing(check, layout.error().message(), "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
    return check;
  }
  check.found = cgroup::mode_name(layout->mode);
  if (const auto missing = missing_controllers(*layout); !missing.empty()) {
    set_missing(check, fmt::format("there is no controller {}", join(missing, ", ")),
                "boot with cgroup_enable=memory, or delegate it: systemctl edit user@.service, "
                "Delegate=cpu memory pids");
  } else if (const auto tried = try_limit(*layout); !tried) {
    set_broken(check, tried.error().message(),
               geteuid() == 0 ? "mount the cgroup tree writable"
                              : "log in through systemd, which delegates a cgroup, or use sudo");
  }
  return check;
}

}  // namespace trivet::doctor
