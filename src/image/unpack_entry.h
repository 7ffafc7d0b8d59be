// One entry of a layer, checked: what it is called, what it is and what it shall look like.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/result.h"

struct archive_entry;

namespace trivet::image {

// A path inside a layer: the directory it is in ("" is the layer's root) and its last component
// ("" is the root itself). No component is empty, "." or "..".
struct LayerPath {
  std::string directory;
  std::string name;

  [[nodiscard]] bool is_root() const { return name.empty(); }
  // "a/b"; "" for the root.
  [[nodiscard]] std::string text() const {
    return directory.empty() ? name : directory + "/" + name;
  }
};

// An absolute path is taken relative to the root, as Docker does. kCorrupt for "..", components
// over 255 bytes and paths over 4095.
Result<LayerPath> parse_layer_path(std::string_view path);

// What chown, chmod, setxattr and utimens get, in this order.
struct Attributes {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0;  // permission bits with set-id and sticky
  timespec mtime{};
  std::vector<std::pair<std::string, std::string>> xattrs;
};

struct LayerEntry {
  enum class Type {
    kFile,
    kDirectory,
    kSymlink,
    kHardLink,
    kFifo,
    kDevice,
    kWhiteout,  // `path` is what it hides in the layers below
    kOpaque,    // `path` is the directory whose lower content is hidden
    kSkipped,   // metadata of AUFS, which nothing needs
  };
  Type type = Type::kFile;
  LayerPath path;
  std::string target;      // kSymlink: its text
  LayerPath link;          // kHardLink: the file it is another name of
  mode_t device_type = 0;  // S_IFCHR, S_IFBLK
  dev_t device = 0;
  uint64_t size = 0;  // kFile, holes included
  Attributes attributes;
};

// Kept attributes: user.* and security.capability; labels and such belong to the host that packed
// them. kCorrupt for names of overlayfs's own (a layer must not forge whiteouts or redirects), for
// ids and times out of range, sockets and unknown types, a whiteout of "." or "..".
Result<LayerEntry> parse_layer_entry(archive_entry* source);

}  // namespace trivet::image
