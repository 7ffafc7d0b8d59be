// Where things lie in the data directory, and the records of images: what the parts of Store share.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "image/store.h"

namespace trivet::image {

// The paths of one store. Digests given to it were checked before.
struct StoreLayout {
  std::string data_dir;

  [[nodiscard]] std::string blobs() const { return data_dir + "/blobs/sha256"; }
  [[nodiscard]] std::string blob(const std::string& digest) const;
  [[nodiscard]] std::string layers() const { return data_dir + "/layers"; }
  [[nodiscard]] std::string layer(const std::string& diff_id) const;
  [[nodiscard]] std::string images() const { return data_dir + "/images"; }
  [[nodiscard]] std::string record(const std::string& manifest_digest) const;
  [[nodiscard]] std::string tmp() const { return data_dir + "/tmp"; }

  // Held while content is written that no image refers to yet; many may hold it.
  Result<FileLock> lock_against_gc() const;
  // Held by who deletes content; nothing when somebody writes.
  Result<std::optional<FileLock>> try_lock_for_gc() const;
  Result<FileLock> lock_names() const;
};

// Refuses what is no sha256 digest before it becomes a part of a path.
Result<> check_store_digest(const std::string& digest);

// names.json: canonical reference to manifest digest.
using Names = std::map<std::string, std::string>;
Result<Names> read_names(const StoreLayout& layout);
// The caller holds lock_names().
Result<> write_names(const StoreLayout& layout, const Names& names);

// images/HEX.json: what is known of a registered manifest besides its blobs.
struct ImageRecord {
  std::string id;  // digest of the config
  std::string manifest_digest;
  uint64_t size = 0;
  Timestamp stored_at{};
};
Result<ImageRecord> read_record(const StoreLayout& layout, const std::string& manifest_digest);
Result<> write_record(const StoreLayout& layout, const ImageRecord& record);
// Every record, oldest first.
Result<std::vector<ImageRecord>> list_records(const StoreLayout& layout);

// The config blob of a manifest. Empty for an artifact, whose config is of another kind.
Result<oci::ImageConfig> parse_config(const oci::Manifest& manifest, std::string_view text);

// The record with its manifest, config and names. Nothing is hashed: this is on the path of
// `trivet run`, and the blobs were verified when they came.
Result<Image> load_image(const StoreLayout& layout, const Limits& limits, const ImageRecord& record,
                         const Names& names);
// The records that a name or an id (prefix) of a person means: one for a name; for an id all
// manifests with that config. Never empty: kNotFound, kInvalidArgument.
struct Match {
  std::vector<ImageRecord> records;
  std::string name;  // the canonical name that matched; empty: it was an id
};
Result<Match> match_records(const StoreLayout& layout, const Names& names,
                            std::string_view name_or_id);

// layers/HEX/layer.json: what unpacking found out.
struct LayerRecord {
  uint64_t bytes = 0;      // of file content
  uint64_t files = 0;      // entries
  uint64_t tar_bytes = 0;  // of the uncompressed tar
  uint64_t skipped = 0;    // devices and attributes an unprivileged user can't make
};
Result<LayerRecord> read_layer_record(const StoreLayout& layout, const std::string& diff_id);
Result<> write_layer_record(int layer_dir_fd, const LayerRecord& record);

// True when the layer is unpacked and survived: synced, or unpacked since this boot.
[[nodiscard]] bool layer_is_usable(const StoreLayout& layout, const std::string& diff_id);
// The name of the file in layers/HEX that says: unpacked during this boot, maybe not synced.
[[nodiscard]] const std::string& unpacked_marker();
// Syncs what is not synced yet and marks the layers so.
Result<> seal_layers(const StoreLayout& layout, const std::vector<LayerRef>& layers);
// In layers/HEX: the layer hides everything below it (its root is opaque).
inline constexpr const char* kOpaqueRootMarker = "opaque";

struct Store::State {
  StoreLayout layout;
  Limits limits;
};

}  // namespace trivet::image
