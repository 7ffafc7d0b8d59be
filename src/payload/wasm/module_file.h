// The file that a container's process.args[0] names, looked up from outside before the container
// is there.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "oci/spec.h"

namespace trivet::payload::wasm {

enum class Format { kNone, kModule, kComponent, kText };

struct ModuleFile {
  UniqueFd fd;
  std::string path;  // as the container sees it, for error texts
  Format format = Format::kNone;
};

// A root to look into: a directory, or layers that are put together for the purpose.
Result<UniqueFd> open_root(const std::string& directory);
// A detached, read-only mount of the layers.
Result<UniqueFd> open_root(const container::OverlayRoot& overlay);

// Opens a path of the root file system for reading; nothing outside is ever opened.
using OpenInRoot = std::function<Result<UniqueFd>(const std::string& path)>;
[[nodiscard]] OpenInRoot open_below(int root_fd);

// Looks into the root and, through bind mounts, at their sources. Symlinks are resolved within each
// of them. Nothing: there is no such regular file, or it can't be read.
std::optional<ModuleFile> find_module(const OpenInRoot& open, const std::vector<oci::Mount>& mounts,
                                      const oci::Process& process);

// By the first bytes; text by the name as well, since anything may start with "(".
[[nodiscard]] Format detect_format(int fd, const std::string& path);

// The absolute paths that `program` may be at, in the order in which they are tried: for one
// without '/' the directories of PATH, then the working directory.
[[nodiscard]] std::vector<std::string> candidate_paths(const oci::Process& process);

}  // namespace trivet::payload::wasm
