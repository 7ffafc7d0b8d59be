// Programs of the host that microVMs need: found whatever PATH the caller has, since engines start
// trivet-oci with a short one.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::payload::microvm {

// An absolute path; empty when it is not installed.
[[nodiscard]] std::string find_host_tool(const std::string& name);

// Runs an installed tool to its end, in the directory or mount namespace that `prepare` sets up.
// Its output comes back only as the cause of a failure. kUnsupported, with the package to install
// as a hint, when it is missing.
struct ToolRun {
  std::vector<std::string> argv;  // argv[0] is the tool's name
  std::string package;            // Debian's
  // A directory that `mounted` is mounted on, seen by the tool alone; empty: nothing is mounted.
  std::string mount_point;
  int mounted = -1;  // a detached mount; stays the caller's
};
Result<> run_tool(const ToolRun& run);

// Adds to an error of a full or read-only disk which one it is and what to do.
[[nodiscard]] Error explain_disk_error(Error error, const std::string& directory);

}  // namespace trivet::payload::microvm
