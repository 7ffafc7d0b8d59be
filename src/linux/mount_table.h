// What is mounted where in this process's mount namespace (proc_pid_mountinfo(5)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet {

struct MountEntry {
  std::string root;  // the part of the file system that is mounted
  std::string mount_point;
  std::string type;
  std::vector<std::string> super_options;
};

// Pure. Lines that are malformed are left out.
[[nodiscard]] std::vector<MountEntry> parse_mount_table(std::string_view mountinfo);

// From /proc/self/mountinfo.
Result<std::vector<MountEntry>> read_mount_table();

}  // namespace trivet
