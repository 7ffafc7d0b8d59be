#include "image/store_layout.h"

#include <algorithm>
#include <unistd.h>

#include "base/json.h"
#include "image/digest.h"

namespace trivet::image {

namespace {

constexpr int kFormatVersion = 1;
constexpr const char* kSyncedMarker = "synced";
constexpr const char* kLayerRecordName = "layer.json";

// A document of ours with "version": 1; another version is not ours to guess.
Result<Json> parse_own(std::string_view text, const std::string& path) {
  Json document = TRY(parse_json(text, path));
  int version = 0;
  TRY_IN(JsonView(document, "").read("version", version), "{}", path);
  if (version != kFormatVersion) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, fmt::format("{}: format version {}", path, version))
            .hint("this store was written by another version of trivet"));
  }
  return document;
}

}  // namespace

std::string StoreLayout::blob(const std::string& digest) const {
  return blobs() + "/" + hex_of(digest);
}

std::string StoreLayout::layer(const std::string& diff_id) const {
  return layers() + "/" + hex_of(diff_id);
}

std::string StoreLayout::record(const std::string& manifest_digest) const {
  return images() + "/" + hex_of(manifest_digest) + ".json";
}

Result<FileLock> StoreLayout::lock_against_gc() const {
  return FileLock::acquire_shared(AT_FDCWD, data_dir + "/gc.lock");
}

Result<std::optional<FileLock>> StoreLayout::try_lock_for_gc() const {
  return FileLock::try_acquire(AT_FDCWD, data_dir + "/gc.lock");
}

Result<FileLock> StoreLayout::lock_names() const {
  return FileLock::acquire(AT_FDCWD, data_dir + "/names.lock");
}

Result<> check_store_digest(const std::string& digest) {
  auto checked = oci::check_digest(digest);
  if (!checked) return std::unexpected(std::move(checked).error());
  return {};
}

Result<Names> read_names(const StoreLayout& layout) {
  const std::string path = layout.data_dir + "/names.json";
  auto text = read_file(path);
  if (!text && text.error().errnum() == ENOENT) return Names{};
  if (!text) return std::unexpected(std::move(text).error());
  const Json document = TRY(parse_own(*text, path));
  Names names;
  const auto member = TRY_IN(JsonView(document, "").find("names"), "{}", path);
  if (!member) return names;
  for (const auto& [name, value] : TRY_IN(member->members(), "{}", path)) {
    std::string digest = TRY_IN(value.as_string(), "{}", path);
    TRY_IN(check_store_digest(digest), "{}: \"{}\"", path, name);
    names.emplace(name, std::move(digest));
  }
  return names;
}

Result<> write_names(const StoreLayout& layout, const Names& names) {
  const Json document = {{"version", kFormatVersion}, {"names", Json(names)}};
  return replace_file(AT_FDCWD, layout.data_dir + "/names.json", document.dump(1) + "\n", 0600,
                      Durability::kDurable);
}

Result<ImageRecord> read_record(const StoreLayout& layout, const std::string& manifest_digest) {
  const std::string path = layout.record(manifest_digest);
  const std::string text = TRY(read_file(path));
  const Json document = TRY(parse_own(text, path));
  const JsonView view(document, "");
  ImageRecord record{.manifest_digest = manifest_digest};
  std::string stored_at;
  TRY_IN(view.read("id", record.id), "{}", path);
  TRY_IN(view.read("size", record.size), "{}", path);
  TRY_IN(view.read("stored_at", stored_at), "{}", path);
  TRY_IN(check_store_digest(record.id), "{}: id", path);
  record.stored_at = TRY_IN(parse_timestamp(stored_at), "{}: stored_at", path);
  return record;
}

Result<> write_record(const StoreLayout& layout, const ImageRecord& record) {
  const Json document = {{"version", kFormatVersion},
                         {"id", record.id},
                         {"size", record.size},
                         {"stored_at", format_rfc3339(record.stored_at)}};
  return replace_file(AT_FDCWD, layout.record(record.manifest_digest), document.dump(1) + "\n",
                      0600, Durability::kDurable);
}

Result<std::vector<ImageRecord>> list_records(const StoreLayout& layout) {
  constexpr std::string_view kSuffix = ".json";
  std::vector<ImageRecord> records;
  for (const std::string& name : TRY(list_dir(AT_FDCWD, layout.images()))) {
    if (!name.ends_with(kSuffix)) continue;  // a replacement under way
    const std::string digest = "sha256:" + name.substr(0, name.size() - kSuffix.size());
    if (!check_store_digest(digest)) continue;
    auto record = read_record(layout, digest);
    // Somebody else removed it between the listing and the reading.
    if (!record && record.error().errnum() == ENOENT) continue;
    if (!record) return std::unexpected(std::move(record).error());
    records.push_back(std::move(*record));
  }
  std::ranges::stable_sort(records, {}, &ImageRecord::stored_at);
  return records;
}

Result<oci::ImageConfig> parse_config(const oci::Manifest& manifest, std::string_view text) {
  const std::string& type = manifest.config.media_type;
  if (type == oci::kMediaWasmConfig) {
    return TRY_IN(oci::parse_wasm_config(text), "image config {}", manifest.config.digest);
  }
  if (type != oci::kMediaConfig && type != oci::kMediaDockerConfig) return oci::ImageConfig{};
  return TRY_IN(oci::parse_image_config(text), "image config {}", manifest.config.digest);
}

Result<Image> load_image(const StoreLayout& layout, const Limits& limits, const ImageRecord& record,
                         const Names& names) {
  Image image{.id = record.id, .manifest_digest = record.manifest_digest};
  image.size = record.size;
  image.stored_at = record.stored_at;
  const std::string manifest =
      TRY(read_file(layout.blob(record.manifest_digest), limits.document_bytes));
  image.manifest = TRY_IN(oci::parse_manifest(manifest), "manifest {}", record.manifest_digest);
  const std::string config = TRY(read_file(layout.blob(record.id), limits.document_bytes));
  image.config = TRY(parse_config(image.manifest, config));
  for (const auto& [name, digest] : names) {
    if (digest != record.manifest_digest) continue;
    image.references.push_back(TRY_IN(parse_reference(name), "names.json"));
  }
  return image;
}

Result<LayerRecord> read_layer_record(const StoreLayout& layout, const std::string& diff_id) {
  const std::string path = layout.layer(diff_id) + "/" + kLayerRecordName;
  const std::string text = TRY(read_file(path));
  const Json document = TRY(parse_own(text, path));
  const JsonView view(document, "");
  LayerRecord record;
  TRY_IN(view.read("bytes", record.bytes), "{}", path);
  TRY_IN(view.read("files", record.files), "{}", path);
  TRY_IN(view.read("tar_bytes", record.tar_bytes), "{}", path);
  TRY_IN(view.read("skipped", record.skipped), "{}", path);
  return record;
}

Result<> write_layer_record(int layer_dir_fd, const LayerRecord& record) {
  const Json document = {{"version", kFormatVersion},
                         {"bytes", record.bytes},
                         {"files", record.files},
                         {"tar_bytes", record.tar_bytes},
                         {"skipped", record.skipped}};
  return replace_file(layer_dir_fd, kLayerRecordName, document.dump(1) + "\n", 0600);
}

const std::string& unpacked_marker() {
  static const std::string kName = [] {
    const auto boot = read_file("/proc/sys/kernel/random/boot_id");
    return "unpacked-" + (boot ? std::string(trim(*boot)) : "unknown");
  }();
  return kName;
}

bool layer_is_usable(const StoreLayout& layout, const std::string& diff_id) {
  const std::string directory = layout.layer(diff_id) + "/";
  return exists(directory + kSyncedMarker) || exists(directory + unpacked_marker());
}

Result<> seal_layers(const StoreLayout& layout, const std::vector<LayerRef>& layers) {
  std::vector<std::string> unsynced;
  for (const LayerRef& layer : layers) {
    const std::string directory = layout.layer(layer.diff_id);
    if (!exists(directory + "/" + kSyncedMarker)) unsynced.push_back(directory);
  }
  if (unsynced.empty()) return {};
  const UniqueFd root = TRY(open_file(layout.layers(), O_RDONLY | O_DIRECTORY));
  if (syncfs(root.get()) != 0) return fail_errno("sync \"{}\"", layout.layers());
  for (const std::string& directory : unsynced) {
    TRY(open_file(directory + "/" + kSyncedMarker, O_WRONLY | O_CREAT, 0600));
    (void)unlink((directory + "/" + unpacked_marker()).c_str());
  }
  return {};
}

}  // namespace trivet::image
