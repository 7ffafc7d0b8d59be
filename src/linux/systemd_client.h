// Asking systemd: through the program trivet-systemd, which links libsystemd (docs/decisions/009).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "linux/systemd_plan.h"

namespace trivet::systemd {

// Whose service manager: root's own, or that of the user who calls.
enum class Manager { kSystem, kUser };

// The system's for root, also for root of a container with a systemd of its own; the user's for
// ordinary users and for whoever is root merely in their user namespace.
[[nodiscard]] Manager choose_manager();

// The manager's own cgroup: "" for the root.
Result<std::string> find_root(Manager manager);

// Starts a transient scope, waits until it is there and returns its cgroup. On failure there is
// none, but for kAlreadyExists, which is somebody else's. kUnsupported where no systemd is reached.
Result<std::string> start_scope(Manager manager, const std::string& unit,
                                const std::vector<Property>& properties);
Result<> set_properties(Manager manager, const std::string& unit,
                        const std::vector<Property>& properties);
// Moves a process into a subgroup ("/" for none) of the unit's cgroup: the way for a user who may
// not take it there from where it is.
Result<> attach_process(Manager manager, const std::string& unit, const std::string& subgroup,
                        pid_t pid);
// Ends the unit with all that is in it; missing is fine.
Result<> stop_unit(Manager manager, const std::string& unit);

}  // namespace trivet::systemd
