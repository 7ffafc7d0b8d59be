// What a file is recognised by without reading it. Content whose identity is the recorded one is
// what was recorded; against a hostile writer stands the directory, which must be ours alone.
#pragma once

#include <cstdint>
#include <string>
#include <sys/stat.h>

#include "base/json.h"
#include "base/result.h"

namespace trivet::payload::microvm {

struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime = 0;  // nanoseconds
  int64_t ctime = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

[[nodiscard]] FileIdentity identity_of(const struct stat& status);
// Of a regular file, symlinks not followed in its last component. kNotFound when there is none,
// kCorrupt when it is something else.
Result<FileIdentity> identify_file(int dir_fd, const std::string& path);

[[nodiscard]] Json print_identity(const FileIdentity& identity);
Result<FileIdentity> parse_identity(const JsonView& view);

// One line that differs when any part does: a part of keys.
[[nodiscard]] std::string identity_text(const FileIdentity& identity);

// Refuses a directory that others than this user can write into: what lies there is executed, or is
// the memory of a machine.
Result<> require_own_directory(const std::string& path);

}  // namespace trivet::payload::microvm
