// The content store: blobs by digest, unpacked layers by diff id, images by name.
//
// Below the data directory: blobs/sha256/HEX (every manifest, config and layer as received),
// layers/HEX/diff (one unpacked layer by the sha256 of its tar: the lower directories of overlay
// mounts, shared by every image and container), images/HEX.json (one small record for each
// registered manifest), names.json (references to manifest digests) and tmp/ (everything
// unfinished; emptied by prune). Content becomes visible by rename only after its digest was
// checked. Several processes may use one store at once: names.json is changed under a lock file,
// garbage collection keeps off while somebody writes (gc.lock), the rest is idempotent.
//
// After a crash: a blob is synced before it becomes visible; unpacked layers are synced together
// when their image is registered, and one that was not synced before the machine went down counts
// as absent afterwards.
//
// Thread safety: a Store may be used by several threads; a BlobWriter by one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "image/reference.h"
#include "oci/image_spec.h"

namespace trivet::image {

// Limits of REQUIREMENTS C6.
struct Limits {
  uint64_t document_bytes = 1U << 20U;   // manifest and config each
  uint64_t layer_bytes = 512ULL << 20U;  // compressed
  size_t layers = 128;
  uint64_t files_per_layer = 100000;
  uint64_t rootfs_bytes = 4ULL << 30U;  // all layers unpacked
};

struct Image {
  std::string id;                     // digest of the config: "sha256:…"
  std::string manifest_digest;        // "sha256:…"
  std::vector<Reference> references;  // empty: dangling
  oci::Manifest manifest;
  oci::ImageConfig config;
  uint64_t size = 0;      // bytes of the unpacked layers
  Timestamp stored_at{};  // when it came into this store
};

// A layer that is a file system change set: its blob and the digest of its uncompressed tar.
struct LayerRef {
  oci::Descriptor blob;
  std::string diff_id;
};

// "application/wasm" and the media types that came before it: the layer is a module as it is.
[[nodiscard]] bool is_wasm_module_layer(std::string_view media_type);
// What such a layer is unpacked to.
inline constexpr const char* kWasmModuleName = "module.wasm";

// The file system layers of an image, lowest first. A Wasm module is one, with its own digest as
// diff id. Layers of other media types (artifacts) are left out. kCorrupt when the config does not
// name one diff id for each tar.
Result<std::vector<LayerRef>> file_system_layers(const oci::Manifest& manifest,
                                                 const oci::ImageConfig& config);

// Receives one blob: the digest is computed while streaming; commit() checks size and digest and
// makes the blob visible. Dropping the writer keeps a partial file of at least 64 KiB in tmp/ for
// resumption by the next writer of the same digest, unless discard() was called.
class BlobWriter {
 public:
  BlobWriter(BlobWriter&&) noexcept;
  BlobWriter& operator=(BlobWriter&&) noexcept;
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;
  ~BlobWriter();

  // The digest that is expected; for a blob of unknown digest, once commit() succeeded, its own.
  [[nodiscard]] const std::string& digest() const;
  // Bytes that an earlier, broken attempt already left (and that are hashed already).
  [[nodiscard]] uint64_t offset() const;
  Result<> write(std::string_view chunk);
  Result<> restart();  // forget what is there: the server can't resume
  Result<> commit();
  void discard();

 private:
  friend class Store;
  struct State;
  explicit BlobWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class Store {
 public:
  // Makes the directories when they are missing.
  static Result<Store> open(const std::string& data_dir, Limits limits = {});
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  [[nodiscard]] const Limits& limits() const;
  // Absolute, without symlinks.
  [[nodiscard]] const std::string& data_dir() const;

  // --- blobs
  [[nodiscard]] bool has_blob(const std::string& digest) const;
  // `expected_size` 0: unknown. kLimitExceeded when it is over `limit`.
  Result<BlobWriter> write_blob(const std::string& digest, uint64_t expected_size,
                                uint64_t limit) const;
  // The same for content whose digest only its end tells (BlobWriter::digest after commit()).
  Result<BlobWriter> write_new_blob(uint64_t limit) const;
  // For content made here; returns its digest.
  Result<std::string> put_blob(std::string_view content) const;
  Result<UniqueFd> open_blob(const std::string& digest) const;
  // Verifies the digest again while reading. kNotFound, kDigestMismatch.
  Result<std::string> read_blob(const std::string& digest) const;

  // --- layers
  [[nodiscard]] bool has_layer(const std::string& diff_id) const;
  // Unpacks a layer blob (gzip, zstd, plain, found by its magic) whose tar must hash to `diff_id`.
  // All or nothing. `progress` is called with the count of compressed bytes consumed so far.
  using Progress = std::function<void(uint64_t)>;
  Result<> unpack_layer(const oci::Descriptor& layer, const std::string& diff_id,
                        const Progress& progress = {}) const;
  // The lower directories of an overlay mount for this image, topmost first.
  Result<std::vector<std::string>> layer_directories(const Image& image) const;

  // --- images
  // Registers a complete image (all blobs present, all layers unpacked) under a name; an empty
  // optional registers it dangling. The name moves if it was taken.
  Result<Image> add_image(const std::string& manifest_digest,
                          const std::optional<Reference>& name) const;
  // By reference, by id or unique id prefix (at least 3 hex digits). kNotFound with a hint,
  // kInvalidArgument when the prefix is ambiguous.
  Result<Image> find(std::string_view name_or_id) const;
  Result<std::vector<Image>> list() const;
  Result<> tag(std::string_view name_or_id, const Reference& name) const;
  // Removes a name, or with an id all names; then what nothing refers to any more. `used_layers`
  // (diff ids) and images whose id is in `used_images` stay: kWrongState if it is the last name of
  // an image in use, unless `force`, which leaves it dangling. Returns what was untagged and
  // deleted, in words for people.
  Result<std::vector<std::string>> remove(std::string_view name_or_id,
                                          const std::set<std::string>& used_images,
                                          bool force) const;
  struct Pruned {
    std::vector<std::string> images;
    uint64_t bytes = 0;
  };
  // Garbage collection: dangling images (or with `all`, every image not in use), then blobs, layers
  // and leftovers in tmp/ that nothing refers to. Safe against a concurrent pull: what is younger
  // than an hour, or held by a live writer, stays.
  Result<Pruned> prune(const std::set<std::string>& used_images, bool all) const;

  // --- exchange (C2)
  // An OCI layout directory or tar, a docker-archive tar, a rootfs tar or directory: found by
  // looking. `name` overrides the names inside; a rootfs needs one.
  Result<std::vector<Image>> import(const std::string& path,
                                    const std::optional<Reference>& name) const;
  enum class ArchiveFormat { kOci, kDocker };
  // A file appears when it is complete; "-" is the standard output.
  Result<> save(const Image& image, const std::string& path, ArchiveFormat format) const;

 private:
  struct State;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trivet::image
