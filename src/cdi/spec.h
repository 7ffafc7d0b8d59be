// A CDI specification file as types (CDI specification 1.1.0, "JSON Definition"). Edits are kept in
// OCI's types where they mean the same.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::cdi {

struct DeviceNode {
  std::string path;       // in the container
  std::string host_path;  // where the host has it; never empty
  std::optional<char> type;
  int64_t major = 0;  // 0: the host's node tells
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::string permissions = "rwm";  // of the cgroup; empty: none
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

struct Hook {
  std::string stage;  // "createRuntime", …
  oci::Hook hook;
};

struct Edits {
  std::vector<std::string> env;
  std::vector<DeviceNode> device_nodes;
  std::vector<oci::Mount> mounts;
  std::vector<Hook> hooks;
  std::optional<oci::IntelRdt> intel_rdt;
  std::vector<uint32_t> additional_gids;
  std::map<std::string, std::string> net_devices;  // name on the host -> in the container

  [[nodiscard]] bool empty() const {
    return env.empty() && device_nodes.empty() && mounts.empty() && hooks.empty() && !intel_rdt &&
           additional_gids.empty() && net_devices.empty();
  }
};

struct Device {
  std::string name;
  std::map<std::string, std::string> annotations;
  Edits edits;
};

struct Spec {
  std::string file;
  std::string version;  // "0.6.0"
  std::string kind;     // "nvidia.com/gpu"
  std::map<std::string, std::string> annotations;
  std::vector<Device> devices;  // at least one
  Edits edits;                  // of every container that gets one of the devices
};

// A specification in JSON or YAML. `file` names it in errors. As the specification wants it, an
// unknown field and one that is newer than the file's cdiVersion are errors. All problems are in
// the one error, the later ones as its notes. kInvalidArgument, kUnsupported, kLimitExceeded.
Result<Spec> parse_spec(std::string_view text, const std::string& file);

// The versions of the specification that are understood, oldest first.
[[nodiscard]] const std::vector<std::string>& known_versions();

}  // namespace trivet::cdi
