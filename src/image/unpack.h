// Unpacking a layer blob into a directory.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "image/store.h"

namespace trivet::image {

struct Unpacked {
  std::string diff_id;     // digest of the uncompressed tar
  uint64_t bytes = 0;      // of file content
  uint64_t files = 0;      // entries
  uint64_t tar_bytes = 0;  // of the uncompressed tar
  uint64_t skipped = 0;    // see LayerWriter
  bool opaque_root = false;
  bool has_wasm = false;  // a file is a Wasm module
};

// Unpacks into the empty directory `root_fd`, private to the caller, as a lower directory of
// overlay mounts: whiteouts become character devices 0:0 and opaque attributes. On failure the
// directory holds a part; whoever made it removes it.
Result<Unpacked> unpack_as_layer(int blob_fd, int root_fd, const Limits& limits,
                                 const Store::Progress& progress = {});

// Unpacks over what the lower layers left in `root_fd`: for a flat copy of an image.
Result<Unpacked> unpack_over(int blob_fd, int root_fd, const Limits& limits);

// The most a tar of a layer may have: content, headers and padding.
[[nodiscard]] uint64_t max_tar_bytes(const Limits& limits);

// The digest of the uncompressed tar, and its size; nothing is unpacked.
Result<Unpacked> measure_layer(int blob_fd, const Limits& limits);

}  // namespace trivet::image
