// Intel RDT and its kin through the resctrl file system (runtime-spec: config-linux.md, IntelRdt;
// the kernel's Documentation/filesystems/resctrl.rst). A group of it is a directory.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::resctrl {

// Where the file system is mounted. kUnsupported with a hint when it is not.
Result<std::string> find_mount_point();

// A container's groups. Only what was made for it is removed with it.
struct Groups {
  std::string control;             // "/sys/fs/resctrl/ID"
  std::string monitoring;          // "…/mon_groups/ID", or empty
  std::vector<std::string> owned;  // innermost last
};

// Makes what is missing and writes the schemata. A group that exists and has other schemata than
// `l3CacheSchema` and `memBwSchema` say is kWrongState. Undoes itself on failure.
Result<Groups> make_groups(const std::string& mount_point, const oci::IntelRdt& config,
                           const std::string& id);
// Other schemata for the control group that make_groups() made or found for these arguments.
Result<> update_schemata(const std::string& mount_point, const oci::IntelRdt& config,
                         const std::string& id);
Result<> add_process(const Groups& groups, pid_t pid);
// Missing directories are fine.
Result<> remove_groups(const std::vector<std::string>& owned);

}  // namespace trivet::resctrl
