#include "payload/wasm/confine.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <sys/vfs.h>

#include <linux/magic.h>

namespace trivet::payload::wasm {

namespace {

bool is_kernel_interface(const oci::Mount& mount) {
  constexpr auto kTypes =
      std::to_array<std::string_view>({"proc", "sysfs", "cgroup", "cgroup2", "mqueue"});
  return std::ranges::find(kTypes, mount.type) != kTypes.end();
}

bool is_below(const std::string& path, const std::string& directory) {
  return path.starts_with(directory + "/");
}

}  // namespace

void confine(oci::Process& process) {
  process.capabilities = oci::Capabilities{};
  process.no_new_privileges = true;
}

Result<> confine(oci::Spec& spec, bool writes_files) {
  confine(*spec.process);
  std::vector<std::string> dropped;
  for (const oci::Mount& mount : spec.mounts) {
    if (is_kernel_interface(mount)) {
      dropped.push_back(mount.destination);
      continue;
    }
    struct statfs status{};
    if (statfs(mount.source.c_str(), &status) == 0 && status.f_type == PROC_SUPER_MAGIC) {
      return std::unexpected(
          Error(ErrorCode::kInvalidArgument,
                fmt::format("mounts: \"{}\" on \"{}\" is a proc file system, which a WebAssembly "
                            "container can't have",
                            mount.source, mount.destination))
              .hint("through it a module could write into the memory of its own host"));
    }
  }
  std::erase_if(spec.mounts, [&](const oci::Mount& mount) {
    return is_kernel_interface(mount) ||
           std::ranges::any_of(dropped, [&](const std::string& directory) {
             return is_below(mount.destination, directory);
           });
  });
  // They cover what is in the file systems that are gone.
  spec.linux_config->masked_paths.clear();
  spec.linux_config->readonly_paths.clear();
  if (!writes_files) spec.root->readonly = true;
  return {};
}

}  // namespace trivet::payload::wasm
