#include "payload/wasm/confine.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>
#include <sys/vfs.h>

#include "base/paths.h"
#include "linux/mount_table.h"
#include "oci/mount.h"
#include <linux/magic.h>

namespace trivet::payload::wasm {

namespace {

bool is_kernel_interface(const oci::Mount& mount) {
  constexpr auto kTypes =
      std::to_array<std::string_view>({"proc", "sysfs", "cgroup", "cgroup2", "mqueue"});
  return std::ranges::find(kTypes, mount.type) != kTypes.end();
}

// Looks for proc in the trees that are to be mounted in the container. The mount table is read when
// the first directory asks for it.
class ProcFinder {
 public:
  Result<> refuse(const std::string& tree, const std::string& destination) {
    const std::string proc = TRY(find(tree));
    if (proc.empty()) return {};
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" on \"{}\" has a proc file system, \"{}\", which a WebAssembly "
                          "container can't have",
                          tree, destination, proc))
            .hint("through it a module could write into the memory of its own host"));
  }

 private:
  // The tree itself, or the mount point of one that comes along, since the engine takes a directory
  // with all that is mounted below. Empty: none.
  Result<std::string> find(const std::string& tree) {
    struct statfs status{};
    if (statfs(tree.c_str(), &status) == 0 && status.f_type == PROC_SUPER_MAGIC) return tree;
    std::error_code error;
    // What isn't there is the engine's to complain of, and nothing is below a file.
    if (!std::filesystem::is_directory(tree, error)) return std::string();
    const std::string real = std::filesystem::canonical(tree, error);
    if (error) return std::string();
    if (!mounts_) mounts_ = TRY(read_mount_table());
    for (const MountEntry& entry : *mounts_) {
      if (entry.type == "proc" && is_below(entry.mount_point, real)) return entry.mount_point;
    }
    return std::string();
  }

  std::optional<std::vector<MountEntry>> mounts_;
};

}  // namespace

void confine(oci::Process& process) {
  process.capabilities = oci::Capabilities{};
  process.no_new_privileges = true;
}

Result<> confine(oci::Spec& spec, const std::string& root, const std::string& bundle,
                 bool writes_files) {
  confine(*spec.process);
  ProcFinder proc;
  if (!root.empty()) TRY(proc.refuse(root, "/"));
  std::vector<std::string> dropped;
  for (const oci::Mount& mount : spec.mounts) {
    if (is_kernel_interface(mount)) {
      dropped.push_back(mount.destination);
    } else if (oci::is_bind(mount)) {
      const std::string source = std::filesystem::path(bundle) / mount.source;
      TRY_IN(proc.refuse(source, mount.destination), "mounts");
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
