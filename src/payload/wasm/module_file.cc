#include "payload/wasm/module_file.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/text.h"
#include "container/overlay_view.h"
#include "oci/mount.h"

namespace trivet::payload::wasm {

namespace {

// The mount that covers the path: the last one of the deepest.
const oci::Mount* covering_mount(const std::vector<oci::Mount>& mounts, const std::string& path) {
  const oci::Mount* covering = nullptr;
  for (const oci::Mount& mount : mounts) {
    const std::string& destination = mount.destination;
    if (path != destination && !is_below(path, destination)) continue;
    if (covering != nullptr && destination.size() < covering->destination.size()) continue;
    covering = &mount;
  }
  return covering;
}

constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_NOCTTY;

Result<UniqueFd> open_candidate(const OpenInRoot& open, const std::vector<oci::Mount>& mounts,
                                const std::string& path) {
  const oci::Mount* mount = covering_mount(mounts, path);
  if (mount == nullptr) return open(path);
  if (!is_bind(*mount)) return fail(ErrorCode::kNotFound, "\"{}\" is on a new file system", path);
  const std::string& destination = mount->destination;
  if (path == destination) return open_file(mount->source, kFlags);
  const UniqueFd source = TRY(open_file(mount->source, O_PATH | O_DIRECTORY));
  return open_in_root(source.get(), path.substr(destination == "/" ? 0 : destination.size()),
                      kFlags);
}

bool is_regular(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

Result<UniqueFd> open_root(const std::string& directory) {
  return open_file(directory, O_PATH | O_DIRECTORY);
}

Result<UniqueFd> open_root(const container::OverlayRoot& overlay) {
  container::OverlayRoot view{.lower_directories = overlay.lower_directories};
  // Before the first start there is nothing in it, and one layer alone needs no mount.
  if (!TRY(list_dir(AT_FDCWD, overlay.upper_directory)).empty()) {
    view.lower_directories.insert(view.lower_directories.begin(), overlay.upper_directory);
  }
  return container::open_overlay(view);
}

Format detect_format(int fd, const std::string& path) {
  std::array<unsigned char, 8> head{};
  const ssize_t count = pread(fd, head.data(), head.size(), 0);
  if (count == static_cast<ssize_t>(head.size()) && std::memcmp(head.data(), "\0asm", 4) == 0) {
    // The layer field tells components from modules; a module's is always 0.
    return head[6] == 0 ? Format::kModule : Format::kComponent;
  }
  return path.ends_with(".wat") ? Format::kText : Format::kNone;
}

std::vector<std::string> candidate_paths(const oci::Process& process) {
  const std::string& program = process.args.front();
  if (program.empty()) return {};
  const std::string in_cwd = normalized_path(process.cwd + "/" + program);
  if (program.front() == '/') return {normalized_path(program)};
  if (program.find('/') != std::string::npos) return {in_cwd};
  std::vector<std::string> paths;
  for (const std::string& entry : process.env) {
    if (!entry.starts_with("PATH=")) continue;
    for (const std::string& directory : split(std::string_view(entry).substr(5), ':')) {
      if (directory.starts_with('/')) paths.push_back(normalized_path(directory + "/" + program));
    }
    break;
  }
  paths.push_back(in_cwd);
  return paths;
}

OpenInRoot open_below(int root_fd) {
  return [root_fd](const std::string& path) { return open_in_root(root_fd, path, kFlags); };
}

std::optional<ModuleFile> find_module(const OpenInRoot& open, const std::vector<oci::Mount>& mounts,
                                      const oci::Process& process) {
  for (std::string& path : candidate_paths(process)) {
    auto fd = open_candidate(open, mounts, path);
    if (!fd || !is_regular(fd->get())) continue;
    const Format format = detect_format(fd->get(), path);
    return ModuleFile{.fd = std::move(*fd), .path = std::move(path), .format = format};
  }
  return std::nullopt;
}

}  // namespace trivet::payload::wasm
