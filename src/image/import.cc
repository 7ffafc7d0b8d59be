#include "image/import.h"

#include <algorithm>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/digest.h"
#include "image/registry_platform.h"
#include "image/store_layout.h"
#include "image/unpack.h"
#include "image/unpack_source.h"

namespace trivet::image {

namespace {

constexpr size_t kCopyBuffer = 256U << 10U;
constexpr int kMaxNesting = 4;  // indexes in indexes

bool is_index(std::string_view media_type) {
  return media_type == oci::kMediaIndex || media_type == oci::kMediaDockerList;
}

// A whole reference, not just the tag that some tools write there.
std::optional<Reference> name_in(const oci::Descriptor& descriptor) {
  for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
    const auto found = descriptor.annotations.find(key);
    if (found == descriptor.annotations.end()) continue;
    if (found->second.find_first_of(":/") == std::string::npos) continue;
    if (auto reference = parse_reference(found->second)) return *reference;
  }
  return std::nullopt;
}

Result<std::string> fetch_document(const Store& store, const oci::Descriptor& descriptor,
                                   const FetchBlob& fetch) {
  if (descriptor.size > store.limits().document_bytes) {
    return fail(ErrorCode::kLimitExceeded, "{}: {} is over the limit of {}",
                short_digest(descriptor.digest), format_size(descriptor.size),
                format_size(store.limits().document_bytes));
  }
  TRY(fetch(descriptor));
  return store.read_blob(descriptor.digest);
}

// Follows indexes down to the manifest for this host.
Result<oci::Descriptor> resolve_platform(const Store& store, oci::Descriptor descriptor,
                                         const FetchBlob& fetch) {
  for (int level = 0; is_index(descriptor.media_type); ++level) {
    if (level == kMaxNesting) {
      return fail(ErrorCode::kLimitExceeded, "indexes nest deeper than {}", kMaxNesting);
    }
    const std::string text = TRY(fetch_document(store, descriptor, fetch));
    const oci::Index index = TRY_IN(oci::parse_index(text), "index {}", descriptor.digest);
    descriptor = TRY(choose_manifests(index, runnable_platforms()))
    .front();
  }
  return descriptor;
}

Result<> fetch_image(const Store& store, const oci::Descriptor& descriptor,
                     const FetchBlob& fetch) {
  const std::string text = TRY(fetch_document(store, descriptor, fetch));
  const oci::Manifest manifest =
      TRY_IN(oci::parse_manifest(text), "manifest {}", descriptor.digest);
  TRY(fetch_document(store, manifest.config, fetch));
  for (const oci::Descriptor& layer : manifest.layers) TRY(fetch(layer));
  return {};
}

}  // namespace

Result<std::vector<Image>> import_index(const Store& store, std::string_view index_json,
                                        const FetchBlob& fetch,
                                        const std::optional<Reference>& name) {
  const oci::Index index = TRY_IN(oci::parse_index(index_json), "index.json");
  if (index.manifests.empty()) return fail(ErrorCode::kCorrupt, "index.json lists no image");
  if (name && index.manifests.size() > 1) {
    const auto same = [&](const oci::Descriptor& entry) {
      return entry.digest == index.manifests.front().digest;
    };
    if (!std::ranges::all_of(index.manifests, same)) {
      return fail(ErrorCode::kInvalidArgument,
                  "there are {} images inside: they can't all be named \"{}\"",
                  index.manifests.size(), name->familiar());
    }
  }
  // One image may be listed once for each of its names.
  std::vector<std::string> order;
  std::map<std::string, std::vector<Reference>> names;
  for (const oci::Descriptor& entry : index.manifests) {
    const oci::Descriptor manifest = TRY(resolve_platform(store, entry, fetch));
    if (!names.contains(manifest.digest)) {
      TRY(fetch_image(store, manifest, fetch));
      order.push_back(manifest.digest);
    }
    std::vector<Reference>& its_names = names[manifest.digest];
    if (const auto found = name ? name : name_in(entry)) its_names.push_back(*found);
  }
  std::vector<Image> images;
  for (const std::string& digest : order) {
    images.push_back(TRY(import_manifest(store, digest, names[digest])));
  }
  return images;
}

Result<Image> import_manifest(const Store& store, const std::string& manifest_digest,
                              const std::vector<Reference>& names) {
  const std::string text = TRY(store.read_blob(manifest_digest));
  const oci::Manifest manifest = TRY_IN(oci::parse_manifest(text), "manifest {}", manifest_digest);
  const std::string config_text = TRY(store.read_blob(manifest.config.digest));
  const oci::ImageConfig config = TRY(parse_config(manifest, config_text));
  for (const LayerRef& layer : TRY(file_system_layers(manifest, config))) {
    TRY(store.unpack_layer(layer.blob, layer.diff_id));
  }
  if (names.empty()) return store.add_image(manifest_digest, std::nullopt);
  for (size_t i = 0; i + 1 < names.size(); ++i) TRY(store.add_image(manifest_digest, names[i]));
  return store.add_image(manifest_digest, names.back());
}

Result<std::string> put_manifest(const Store& store, const std::string& config_digest,
                                 const std::vector<std::string>& layer_digests) {
  const auto describe = [&](const std::string& digest,
                            std::string_view type) -> Result<oci::Descriptor> {
    const UniqueFd fd = TRY(store.open_blob(digest));
    struct stat status{};
    if (fstat(fd.get(), &status) != 0) return fail_errno("stat blob {}", digest);
    if (type.empty()) {
      const Compression compression = TRY(detect_compression(fd.get()));
      type = compression == Compression::kGzip   ? oci::kMediaLayerGzip
             : compression == Compression::kZstd ? oci::kMediaLayerZstd
                                                 : oci::kMediaLayer;
    }
    oci::Descriptor descriptor{.media_type = std::string(type), .digest = digest};
    descriptor.size = static_cast<uint64_t>(status.st_size);
    return descriptor;
  };
  oci::Manifest manifest{.media_type = std::string(oci::kMediaManifest)};
  manifest.config = TRY(describe(config_digest, oci::kMediaConfig));
  for (const std::string& layer : layer_digests) {
    manifest.layers.push_back(TRY(describe(layer, "")));
  }
  return store.put_blob(oci::print_manifest(manifest));
}

oci::ImageConfig rootfs_config() {
  return {.platform = host_platform()};
}

Result<Image> import_rootfs_layer(const Store& store, const std::string& layer_digest,
                                  const std::string& diff_id, const Reference& name,
                                  oci::ImageConfig config) {
  // Without a date: the same files give the same image.
  config.diff_ids = {diff_id};
  config.history.push_back({.created_by = "trivet image import"});
  const std::string config_digest = TRY(store.put_blob(oci::print_image_config(config)));
  const std::string manifest = TRY(put_manifest(store, config_digest, {layer_digest}));
  return import_manifest(store, manifest, {name});
}

Result<Reference> require_name(const std::optional<Reference>& name) {
  if (name) return *name;
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, "a root file system needs a name to be imported under")
          .hint("give one, such as \"trivet image import PATH myimage:1\""));
}

Result<std::string> put_fd(const Store& store, int fd, uint64_t limit) {
  BlobWriter writer = TRY(store.write_new_blob(limit));
  std::vector<char> buffer(kCopyBuffer);
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read the file to import");
    if (count == 0) break;
    TRY(writer.write({buffer.data(), static_cast<size_t>(count)}));
  }
  TRY(writer.commit());
  return writer.digest();
}

Result<std::vector<Image>> import_layout_directory(const Store& store, int directory_fd,
                                                   const std::optional<Reference>& name) {
  const UniqueFd index = TRY(open_in_root(directory_fd, "index.json", O_RDONLY));
  const std::string text = TRY(read_fd(index.get(), "index.json", store.limits().document_bytes));
  const auto fetch = [&](const oci::Descriptor& blob) -> Result<> {
    if (store.has_blob(blob.digest)) return {};
    const std::string path = "blobs/sha256/" + hex_of(blob.digest);
    const UniqueFd fd = TRY_IN(open_in_root(directory_fd, path, O_RDONLY), "OCI layout");
    BlobWriter writer =
        TRY(store.write_blob(blob.digest, blob.size, max_tar_bytes(store.limits())));
    TRY(writer.restart());
    std::vector<char> buffer(kCopyBuffer);
    ssize_t count = 0;
    while ((count = ::read(fd.get(), buffer.data(), buffer.size())) > 0) {
      TRY(writer.write({buffer.data(), static_cast<size_t>(count)}));
    }
    if (count < 0) return fail_errno("read \"{}\"", path);
    return writer.commit();
  };
  return import_index(store, text, fetch, name);
}

Result<std::vector<Image>> Store::import(const std::string& path,
                                         const std::optional<Reference>& name) const {
  // Nothing that is brought in here may be collected before the image refers to it.
  const FileLock gc_lock = TRY(state_->layout.lock_against_gc());
  const UniqueFd fd = TRY_IN(open_file(path, O_RDONLY), "cannot import");
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return fail_errno("cannot import: stat \"{}\"", path);
  if (S_ISREG(status.st_mode)) {
    return TRY_IN(import_archive(*this, fd.get(), name), "cannot import \"{}\"", path);
  }
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::kInvalidArgument, "cannot import \"{}\": neither a file nor a directory",
                path);
  }
  if (exists_at(fd.get(), "oci-layout") && exists_at(fd.get(), "index.json")) {
    return TRY_IN(import_layout_directory(*this, fd.get(), name), "cannot import \"{}\"", path);
  }
  const Reference wanted = TRY_IN(require_name(name), "cannot import \"{}\"", path);
  std::vector<Image> images;
  images.push_back(
      TRY_IN(import_rootfs_directory(*this, fd.get(), wanted), "cannot import \"{}\"", path));
  return images;
}

}  // namespace trivet::image
