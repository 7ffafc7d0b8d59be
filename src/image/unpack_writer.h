// Makes the files of a layer inside a directory, whatever the entries try.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "image/store.h"
#include "image/unpack_entry.h"
#include "image/unpack_source.h"

namespace trivet::image {

// Every parent directory is opened with RESOLVE_IN_ROOT, so a symbolic link of the image means the
// same inside its root as in a container, and none leaves it; the kernel ends loops and chains of
// more than 40 links. The last component is never followed. Later entries replace earlier ones as
// in tar and Docker: only a directory over a directory merges.
//
// The directory must be private to the caller. As root everything is kept; an unprivileged user
// gets his own ownership, no devices and no file capabilities (counted by skipped()), and so does
// root of a user namespace, but for ownership if more ids than one are mapped there.
class LayerWriter {
 public:
  // What to do with whiteouts: turn them into overlayfs's form in finish(), as they concern lower
  // layers only, or leave them alone because somebody has applied them already.
  enum class Whiteouts { kMark, kIgnore };

  static Result<LayerWriter> create(int root_fd, const Limits& limits, Whiteouts whiteouts);

  // `source` delivers the content when it is a file.
  Result<> add(const LayerEntry& entry, LayerSource& source);
  // Whiteouts, then the attributes of directories.
  Result<> finish();

  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] uint64_t files() const { return files_; }
  [[nodiscard]] uint64_t skipped() const { return skipped_; }
  // The whole layers below are hidden; overlayfs has no mark for that on a root directory.
  [[nodiscard]] bool opaque_root() const { return opaque_root_; }
  [[nodiscard]] bool has_wasm() const { return has_wasm_; }

 private:
  // A directory that was made here; its attributes come last, as they may forbid writing into it
  // and as writing changes its times.
  struct Directory {
    ino_t inode = 0;
    std::optional<Attributes> attributes;  // none: it came without an entry of its own
  };

  LayerWriter(int root_fd, const Limits& limits, Whiteouts whiteouts, std::string root_path)
      : root_fd_(root_fd),
        limits_(limits),
        whiteouts_mode_(whiteouts),
        root_path_(std::move(root_path)) {}

  Result<int> parent(const std::string& directory);
  Result<UniqueFd> make_parents(const std::string& directory);
  Result<> check_depth(int fd, const std::string& directory);
  Result<> make_way(int parent_fd, const LayerEntry& entry);
  Result<> make(int parent_fd, const LayerEntry& entry, LayerSource& source);
  Result<> make_file(int parent_fd, const LayerEntry& entry, LayerSource& source);
  Result<> copy_content(int fd, const LayerEntry& entry, LayerSource& source);
  Result<> make_directory(int parent_fd, const LayerEntry& entry);
  Result<> make_symlink(int parent_fd, const LayerEntry& entry);
  Result<> make_hard_link(int parent_fd, const LayerEntry& entry) const;
  Result<> make_node(int parent_fd, const LayerEntry& entry);
  Result<> apply_to_fd(int fd, const Attributes& attributes);
  Result<> apply_to_name(int parent_fd, const LayerEntry& entry);
  Result<> apply_xattrs(int fd, const Attributes& attributes);
  // What the kernel may refuse to an ordinary user, or to root of a user namespace, with reason.
  enum class Needs { kId, kPrivilege };
  Result<bool> skippable(bool done, std::string_view what, Needs needs);
  Result<> mark_opaque(const std::string& directory);
  Result<> mark_whiteout(const LayerPath& hidden);
  Result<> finish_directory(const std::string& path, const Directory& directory);

  int root_fd_;
  Limits limits_;
  Whiteouts whiteouts_mode_;
  std::string root_path_;  // where root_fd is, to measure depths
  std::string cached_directory_;
  UniqueFd cached_fd_;  // of cached_directory_, when valid
  std::map<std::string, Directory> directories_;
  std::map<std::string, LayerPath> whiteouts_;
  std::set<std::string> opaque_;
  uint64_t bytes_ = 0;
  uint64_t files_ = 0;
  uint64_t skipped_ = 0;
  bool opaque_root_ = false;
  bool has_wasm_ = false;
};

// Removes from `root_fd` what the whiteouts of a layer hide: for flattening, before the layer's own
// entries are added.
Result<> apply_whiteout(int root_fd, const LayerEntry& entry);

}  // namespace trivet::image
