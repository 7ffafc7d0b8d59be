// systemd's service manager, of the system or of a user, over D-Bus (org.freedesktop.systemd1(5)).
#pragma once

#include <string>

#include "base/result.h"
#include "systemd/bus_message.h"

namespace trivet::systemd {

enum class Whose { kSystem, kUser };

class ServiceManager {
 public:
  // Over the message bus, or over systemd's own socket where no bus runs. kUnsupported when no such
  // manager can be reached.
  static Result<ServiceManager> connect(Whose whose);

  // The manager's own cgroup: "" for the root, "/user.slice/user-1000.slice/user@1000.service".
  [[nodiscard]] const std::string& control_group() const { return control_group_; }

  // Starts a scope with these properties (NAME SIGNATURE WORD…, PIDs among them) and waits until
  // the job is done. Returns its cgroup. A dead unit of the same name that only its failure keeps
  // is replaced; kAlreadyExists for one that lives. On failure none
  // is left.
  Result<std::string> start_scope(const std::string& unit, Words properties);
  Result<> set_properties(const std::string& unit, Words properties);
  // Moves a process into a subgroup ("/" or "/a") of a unit's cgroup.
  Result<> attach_process(const std::string& unit, const std::string& subgroup,
                          const std::string& pid);
  // Stops a unit, waits until the job is done and forgets its failure. Missing is fine.
  Result<> stop(const std::string& unit);

 private:
  ServiceManager(Bus bus, std::string control_group)
      : bus_(std::move(bus)), control_group_(std::move(control_group)) {}

  Bus bus_;
  std::string control_group_;
};

}  // namespace trivet::systemd
