#include "image/store.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <unistd.h>

#include <climits>

#include "image/digest.h"
#include "image/store_layout.h"

namespace trivet::image {

namespace {

// Every tar media type of OCI and Docker, the deprecated non-distributable ones included.
bool is_file_system_layer(std::string_view media_type) {
  return media_type.starts_with("application/vnd.oci.image.layer.") ||
         media_type.starts_with("application/vnd.docker.image.rootfs.");
}

Result<std::string> real_path(const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  if (realpath(path.c_str(), buffer.data()) == nullptr) return fail_errno("resolve \"{}\"", path);
  return std::string(buffer.data());
}

// The document of a blob that add_image relies on, verified and within the limit.
Result<std::string> read_document(const Store& store, const std::string& digest,
                                  std::string_view what) {
  std::string content = TRY_IN(store.read_blob(digest), "{}", what);
  if (content.size() > store.limits().document_bytes) {
    return fail(ErrorCode::kLimitExceeded, "{} {}: {} is over the limit of {}", what,
                short_digest(digest), format_size(content.size()),
                format_size(store.limits().document_bytes));
  }
  return content;
}

}  // namespace

bool is_wasm_module_layer(std::string_view media_type) {
  return media_type == "application/wasm" ||
         media_type == "application/vnd.wasm.content.layer.v1+wasm" ||
         media_type == "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm" ||
         media_type == "application/vnd.bytecodealliance.wasm.module.layer.v0+wasm";
}

Result<std::vector<LayerRef>> file_system_layers(const oci::Manifest& manifest,
                                                 const oci::ImageConfig& config) {
  std::vector<LayerRef> layers;
  for (const oci::Descriptor& blob : manifest.layers) {
    if (is_file_system_layer(blob.media_type)) layers.push_back({.blob = blob});
    if (is_wasm_module_layer(blob.media_type)) {
      layers.push_back({.blob = blob, .diff_id = blob.digest});
    }
  }
  if (layers.empty()) return layers;
  const auto tars =
      std::ranges::count_if(layers, [](const LayerRef& l) { return l.diff_id.empty(); });
  // A config of the Wasm kind names no diff ids, and an image's names those of all its layers.
  const size_t named = config.diff_ids.size();
  if (named != layers.size() && (tars > 0 || named > 0)) {
    return fail(ErrorCode::kCorrupt, "the manifest has {} layers and the config {} diff ids",
                layers.size(), named);
  }
  for (size_t i = 0; i < named; ++i) {
    if (layers[i].diff_id.empty()) layers[i].diff_id = config.diff_ids[i];
  }
  return layers;
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::string& data_dir, Limits limits) {
  TRY_IN(make_dirs(data_dir, 0755), "image store");
  auto state = std::make_unique<State>();
  state->limits = limits;
  state->layout.data_dir = TRY_IN(real_path(data_dir), "image store");
  const StoreLayout& layout = state->layout;
  // 0700: an image's setuid programs are not for the users of this host.
  for (const std::string& directory :
       {layout.blobs(), layout.layers(), layout.images(), layout.tmp()}) {
    TRY_IN(make_dirs(directory, 0700), "image store");
  }
  return Store(std::move(state));
}

const Limits& Store::limits() const {
  return state_->limits;
}
const std::string& Store::data_dir() const {
  return state_->layout.data_dir;
}

namespace {

// What add_image found out about a complete image.
struct Checked {
  std::string id;
  std::vector<LayerRef> layers;
  uint64_t size = 0;
};

Result<> check_blobs(const Store& store, const oci::Manifest& manifest) {
  for (const oci::Descriptor& layer : manifest.layers) {
    if (!store.has_blob(layer.digest)) {
      return fail(ErrorCode::kNotFound, "layer blob {} is not in the store", layer.digest);
    }
  }
  return {};
}

Result<Checked> check_complete(const Store& store, const StoreLayout& layout,
                               const std::string& manifest_digest) {
  const std::string text = TRY(read_document(store, manifest_digest, "manifest"));
  const oci::Manifest manifest = TRY_IN(oci::parse_manifest(text), "manifest {}", manifest_digest);
  if (manifest.layers.size() > store.limits().layers) {
    return fail(ErrorCode::kLimitExceeded, "manifest {}: {} layers, at most {} are allowed",
                short_digest(manifest_digest), manifest.layers.size(), store.limits().layers);
  }
  Checked checked{.id = manifest.config.digest};
  const std::string config_text = TRY(read_document(store, checked.id, "image config"));
  const oci::ImageConfig config = TRY(parse_config(manifest, config_text));
  TRY(check_blobs(store, manifest));
  checked.layers =
      TRY_IN(file_system_layers(manifest, config), "manifest {}", short_digest(manifest_digest));
  for (const LayerRef& layer : checked.layers) {
    if (!store.has_layer(layer.diff_id)) {
      return fail(ErrorCode::kNotFound, "layer {} is not unpacked", layer.diff_id);
    }
    const LayerRecord record = TRY(read_layer_record(layout, layer.diff_id));
    checked.size += record.bytes;
  }
  if (checked.size > store.limits().rootfs_bytes) {
    return fail(ErrorCode::kLimitExceeded, "the unpacked image has {}, at most {} are allowed",
                format_size(checked.size), format_size(store.limits().rootfs_bytes));
  }
  return checked;
}

}  // namespace

Result<Image> Store::add_image(const std::string& manifest_digest,
                               const std::optional<Reference>& name) const {
  TRY(check_store_digest(manifest_digest));
  const StoreLayout& layout = state_->layout;
  const FileLock gc_lock = TRY(layout.lock_against_gc());
  const Checked checked = TRY(check_complete(*this, layout, manifest_digest));
  TRY(seal_layers(layout, checked.layers));
  const FileLock lock = TRY(layout.lock_names());
  ImageRecord record{.id = checked.id,
                     .manifest_digest = manifest_digest,
                     .size = checked.size,
                     .stored_at = std::chrono::system_clock::now()};
  if (const auto known = read_record(layout, manifest_digest)) record.stored_at = known->stored_at;
  TRY(write_record(layout, record));
  Names names = TRY(read_names(layout));
  if (name) {
    names[name->canonical()] = manifest_digest;
    TRY(write_names(layout, names));
  }
  return load_image(layout, state_->limits, record, names);
}

Result<Image> Store::find(std::string_view name_or_id) const {
  const Names names = TRY(read_names(state_->layout));
  const Match match = TRY(match_records(state_->layout, names, name_or_id));
  return load_image(state_->layout, state_->limits, match.records.back(), names);
}

Result<std::vector<Image>> Store::list() const {
  const Names names = TRY(read_names(state_->layout));
  std::vector<Image> images;
  for (const ImageRecord& record : TRY(list_records(state_->layout))) {
    auto image = load_image(state_->layout, state_->limits, record, names);
    // Somebody removed it meanwhile.
    if (!image && image.error().errnum() == ENOENT &&
        !exists(state_->layout.record(record.manifest_digest))) {
      continue;
    }
    if (!image) return std::unexpected(std::move(image).error());
    images.push_back(std::move(*image));
  }
  return images;
}

Result<> Store::tag(std::string_view name_or_id, const Reference& name) const {
  if (name.tag.empty()) {
    return fail(ErrorCode::kInvalidArgument, "cannot tag as \"{}\": a tag is missing, not a digest",
                name.familiar());
  }
  const FileLock lock = TRY(state_->layout.lock_names());
  Names names = TRY(read_names(state_->layout));
  const Match match = TRY(match_records(state_->layout, names, name_or_id));
  names[name.canonical()] = match.records.back().manifest_digest;
  return write_names(state_->layout, names);
}

}  // namespace trivet::image
