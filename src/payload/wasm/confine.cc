#include "payload/wasm/confine.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <sys/vfs.h>

#include "linux/mount_table.h"
#include <linux/magic.h>

namespace trivet::payload::wasm {

namespace {

bool is_kernel_interface(const oci::Mount& mount) {
  constexpr auto kTypes =
      std::to_array<std::string_view>({"proc", "sysfs", "cgroup", "cgroup2", "mqueue"});
  return std::ranges::find(kTypes, mount.type) != kTypes.end();
}

bool is_below(const std::string& path, const std::string& directory) {
  return directory == "/" || path.starts_with(directory + "/");
}

// What a tree that is mounted in the container has of proc: itself, or the mount point of one that
// comes along, since the engine takes a directory with all that is mounted below. Empty: none.
Result<std::string> find_proc(const std::string& tree) {
  struct statfs status{};
  if (statfs(tree.c_str(), &status) == 0 && status.f_type == PROC_SUPER_MAGIC) return tree;
  std::error_code error;
  const std::string real = std::filesystem::canonical(tree, error);
  // What isn't there is the engine's to complain of, and nothing is below a file.
  if (error || !std::filesystem::is_directory(real, error)) return std::string();
  for (const MountEntry& entry : TRY(read_mount_table())) {
    if (entry.type == "proc" && is_below(entry.mount_point, real)) return entry.mount_point;
  }
  return std::string();
}

Result<> refuse_proc(const std::string& tree, const std::string& destination) {
  const std::string proc = TRY(find_proc(tree));
  if (proc.empty()) return {};
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument,
            fmt::format("\"{}\" on \"{}\" has a proc file system, \"{}\", which a WebAssembly "
                        "container can't have",
                        tree, destination, proc))
          .hint("through it a module could write into the memory of its own host"));
}

}  // namespace

void confine(oci::Process& process) {
  process.capabilities = oci::Capabilities{};
  process.no_new_privileges = true;
}

Result<> confine(oci::Spec& spec, const std::string& root, const std::string& bundle,
                 bool writes_files) {
  confine(*spec.process);
  if (!root.empty()) TRY(refuse_proc(root, "/"));
  std::vector<std::string> dropped;
  for (const oci::Mount& mount : spec.mounts) {
    if (is_kernel_interface(mount)) {
      dropped.push_back(mount.destination);
    } else if (!mount.source.empty()) {
      const std::string source = std::filesystem::path(bundle) / mount.source;
      TRY_IN(refuse_proc(source, mount.destination), "mounts");
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
