// The options of a mount in config.json (runtime-spec: config.md, "Linux mount options").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace trivet::container {

// fsconfig(2) parameters: a name, and a value or nothing.
using FsParameters = std::vector<std::pair<std::string, std::optional<std::string>>>;

// An option of ours: "x-trivet.sub-path=PATH" binds what is below the source. PATH is resolved with
// the source as its root directory, so that a symlink in it can't lead to the rest of the host.
inline constexpr std::string_view kSubPathOption = "x-trivet.sub-path=";

struct MountOptions {
  uint64_t attr_set = 0;  // MOUNT_ATTR_*
  uint64_t attr_clear = 0;
  uint64_t recursive_attr_set = 0;
  uint64_t recursive_attr_clear = 0;
  uint64_t propagation = 0;  // MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE
  bool propagation_recursive = false;
  bool bind = false;
  bool recursive = false;  // rbind
  bool remount = false;
  bool copy_up = false;   // tmpcopyup
  bool optional = false;  // "nofail"
  bool idmap = false;     // idmap or ridmap
  bool idmap_recursive = false;
  std::string sub_path;     // of kSubPathOption
  FsParameters parameters;  // what is not an option of the VFS goes to the file system
};

// Unknown words are file system parameters, as the specification says.
Result<MountOptions> parse_mount_options(const std::vector<std::string>& options);

// Every VFS option name that parse_mount_options knows, for `features`.
[[nodiscard]] std::vector<std::string> known_mount_options();

// "rprivate", "shared", … as rootfsPropagation; 0 for an empty text.
Result<uint64_t> parse_propagation(const std::string& text);

}  // namespace trivet::container
