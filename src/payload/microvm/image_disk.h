// Images as block devices: one EROFS file for each stack of layers, made when a microVM first needs
// it and shared by all that come after.
//
//   DATA/vm/images/KEY.erofs   the merged tree: owners, modes, times, links, attributes and devices
//                              as they are in an overlay of the layers, without its whiteouts
//   DATA/vm/images/KEY.json    its layers and its identity
//   DATA/vm/images/KEY.lock    held while it is made
//
// KEY is made of the layers' diff ids. A file that is not the recorded one is made anew. A machine
// keeps an open descriptor of its disk: removing the file takes nothing away from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::payload::microvm {

struct ImageDisk {
  UniqueFd fd;  // to read
  std::string path;
  uint64_t size = 0;
  bool made = false;  // it was not there yet
};

struct ImageDiskLimits {
  uint64_t bytes = 16ULL << 30U;  // of all together; the least recently used go first
};

// The disk of an overlay's lower directories (DATA/layers/HEX/diff, topmost first). The tree is
// mounted in a private mount namespace while the file is written; nothing is left on failure.
// Errors: kUnsupported without mkfs.erofs, or for directories that are no layers.
Result<ImageDisk> image_disk(const std::string& data_dir,
                             const std::vector<std::string>& lower_directories,
                             const ImageDiskLimits& limits = {});

// Removes the disks of which a layer is gone, and what crashes left behind; called after images
// were removed. Returns the bytes that got free. What is being made stays.
Result<uint64_t> prune_image_disks(const std::string& data_dir);

// The name of the disk without its suffix. Pure; kUnsupported for a directory that is no layer.
Result<std::string> image_disk_key(const std::vector<std::string>& lower_directories);

}  // namespace trivet::payload::microvm
