// A configuration file of the host: whether it may be changed, and its change as a whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::install {

inline constexpr size_t kMaxConfigBytes = 1U << 20U;

// The file's text; nothing when there is none. Refuses what must not be changed or would be lost
// when the file is replaced: symbolic and hard links, what is no ordinary file, what belongs to
// somebody else, what everybody may write; also a directory in which everybody may rename.
Result<std::optional<std::string>> read_config_file(const std::string& path);

// kPermissionDenied when the calling user could not put a file there. Missing directories are fine
// where they can be made.
Result<> check_writable(const std::string& path);

// Replaces the file, with the same owner, mode and extended attributes, or makes it (0644). Whoever
// reads it meanwhile, and after a loss of power, sees the old text or the new one. The directory
// must be there.
Result<> write_config_file(const std::string& path, std::string_view text);

}  // namespace trivet::install
