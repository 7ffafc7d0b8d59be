// Makes the files of a tar stream below a directory.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "copy/tar.h"

namespace trivet::copy {

struct UnpackOptions {
  // Owner of what is made; nothing: the stream's.
  std::optional<std::pair<uid_t, gid_t>> owner;
  // Of a hostile stream nothing is taken that could act beyond the copy: device nodes are left out
  // as sockets are, set-id bits are dropped, hard links are refused.
  enum class Trust { kTrusted, kHostile };
  Trust trust = Trust::kHostile;
  // Parents of an entry that are symlinks: refused, or followed inside the directory (a container
  // whose /bin is one) and made when they are missing.
  enum class Parents { kMadeByStream, kFollowed };
  Parents parents = Parents::kMadeByStream;
};

// Existing files are replaced (a mount point is overwritten), directories merged; a file in the
// place of a directory, or the other way round, is kAlreadyExists. The last component of a path is
// never followed. Modes and times are kept; those of directories come last, as they may forbid
// writing.
class Unpacker {
 public:
  Unpacker(int directory, const UnpackOptions& options) : root_(directory), options_(options) {}

  // Makes the entry at `path`, which stands for the entry's own: relative and clean; empty is the
  // directory itself, of which nothing is changed. The content of a file comes from `reader`.
  Result<> add(const TarEntry& entry, const std::string& path, TarReader& reader);
  // The same for a file whose content comes in pieces; finish_file() ends it.
  Result<> begin(const TarEntry& entry, const std::string& path);
  Result<> write(std::string_view piece);
  Result<> finish_file();
  // The attributes of the directories that are left.
  Result<> finish();

 private:
  struct Directory {
    std::string path;
    TarEntry entry;
  };
  struct Parent {
    int fd;
    std::string name;
  };

  Result<Parent> open_parent(const std::string& path);
  Result<UniqueFd> open_directory(const std::string& path) const;
  Result<> leave_directories(const std::string& next);
  Result<> make(const TarEntry& entry, const Parent& parent);
  Result<> make_directory(const Parent& parent);
  Result<> make_hard_link(const TarEntry& entry, const Parent& parent) const;
  Result<> make_node(const TarEntry& entry, const Parent& parent);
  Result<> apply(int fd, const TarEntry& entry) const;
  Result<> apply_to_name(const Parent& parent, const TarEntry& entry) const;

  int root_;
  UnpackOptions options_;
  std::string parent_path_;
  UniqueFd parent_;              // of parent_path_, when valid
  std::vector<Directory> open_;  // those the last entry is in, outermost first
  UniqueFd file_;
  TarEntry file_entry_;
};

}  // namespace trivet::copy
