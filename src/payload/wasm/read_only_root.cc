#include "payload/wasm/read_only_root.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <set>
#include <string_view>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/text.h"

namespace trivet::payload::wasm {

namespace {

// What trivet mounts in every Wasm container. What is below /dev is made on the file system that is
// mounted there.
constexpr auto kDirectories = std::to_array<const char*>({"dev", "etc"});
constexpr auto kFiles =
    std::to_array<const char*>({"etc/hosts", "etc/hostname", "etc/resolv.conf"});

bool is_below_dev(std::string_view path) {
  return path.starts_with("/dev/");
}

bool is_place(std::string_view destination) {
  return std::ranges::any_of(kFiles,
                             [&](std::string_view file) { return destination.substr(1) == file; });
}

// Whether the shell finds everything that it mounts on among the places.
bool mounts_on_places_only(const oci::Spec& spec) {
  bool has_dev = false;
  for (const oci::Mount& mount : spec.mounts) {
    if (mount.destination == "/dev" && mount.type == "tmpfs") {
      has_dev = true;
    } else if (!is_place(mount.destination) && !(has_dev && is_below_dev(mount.destination))) {
      return false;
    }
  }
  const bool devices_fit =
      std::ranges::all_of(spec.linux_config->devices,
                          [](const oci::Device& device) { return is_below_dev(device.path); });
  return has_dev && devices_fit;
}

// Whether the layers leave the places to be seen: nothing of theirs is in the way, be it a symlink
// or a mark that hides what is below.
bool leave_places_alone(const std::vector<std::string>& layers) {
  return std::ranges::none_of(layers, [](const std::string& layer) {
    return std::ranges::any_of(
        kDirectories, [&](const char* directory) { return exists(layer + "/" + directory); });
  });
}

Result<> make_places(const std::string& places) {
  if (exists(places)) return {};
  const std::string part = fmt::format("{}.{}", places, random_hex(8));
  if (mkdir(part.c_str(), 0755) != 0) return fail_errno("mkdir \"{}\"", part);
  Rollback rollback;
  rollback.add([&part] { return remove_tree(AT_FDCWD, part); });
  const auto fill = [&]() -> Result<> {
    const UniqueFd directory = TRY(open_file(part, O_RDONLY | O_DIRECTORY));
    for (const char* name : kDirectories) {
      if (mkdirat(directory.get(), name, 0755) != 0) return fail_errno("mkdir \"{}\"", name);
    }
    for (const char* name : kFiles) {
      TRY(open_at(directory.get(), name, O_WRONLY | O_CREAT | O_EXCL, 0644));
    }
    if (rename(part.c_str(), places.c_str()) == 0) return {};
    const int error = errno;
    // Another process was faster.
    if (error == EEXIST || error == ENOTEMPTY) return remove_tree(AT_FDCWD, part);
    return std::unexpected(Error::from_errno(error, fmt::format("rename to \"{}\"", places)));
  };
  if (auto filled = fill(); !filled) return std::unexpected(rollback.fail(filled.error()));
  rollback.commit();
  return {};
}

}  // namespace

Result<std::optional<container::OverlayRoot>> plan_read_only_root(
    const container::OverlayRoot& root, const oci::Spec& spec, const std::string& places) {
  const bool plain = spec.root->readonly && spec.process->cwd == "/" && spec.hooks.empty() &&
                     spec.linux_config->find_namespace(oci::NamespaceType::kUser) == nullptr;
  if (!plain || !mounts_on_places_only(spec)) return std::nullopt;
  container::OverlayRoot read_only{.lower_directories = root.lower_directories};
  // Something may have been copied into it before the start.
  if (!TRY(list_dir(AT_FDCWD, root.upper_directory)).empty()) {
    read_only.lower_directories.insert(read_only.lower_directories.begin(), root.upper_directory);
  }
  if (!leave_places_alone(read_only.lower_directories)) return std::nullopt;
  TRY(make_places(places));
  read_only.lower_directories.push_back(places);
  return read_only;
}

}  // namespace trivet::payload::wasm
