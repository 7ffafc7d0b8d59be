// Copies of files and trees between two places of which either may be hostile: every step is
// relative to a directory descriptor and never follows a symlink.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::copy {

struct CopyOptions {
  // Owner of what is made; nothing: the source's.
  std::optional<std::pair<uid_t, gid_t>> owner;
  bool xattrs = true;  // copied as far as the destination takes them
};

// Copies the entry `source_name` of a directory to `target_name` in another: files with their holes
// filled, directories with all below, symlinks as they are, device nodes and fifos. Sockets are
// left out. Existing files are replaced; a directory is merged into an existing one. Modes and
// times are kept. A file in the place of a directory, or the other way round, is kAlreadyExists.
Result<> copy_entry(int source_directory, const std::string& source_name, int target_directory,
                    const std::string& target_name, const CopyOptions& options);

// Copies what is in one directory into another one, with the mode and owner of the directory.
Result<> copy_contents(int source_directory, int target_directory, const CopyOptions& options);

// Mode, times, owner and extended attributes of an open file or directory onto another.
Result<> copy_attributes(int source, int target, const CopyOptions& options);

}  // namespace trivet::copy
