// Archives for others: an OCI layout, or what `docker load` takes. Both are read by skopeo, podman
// and trivet. The same image gives the same bytes.
#include <fcntl.h>
#include <functional>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/rollback.h"
#include "image/digest.h"
#include "image/store_layout.h"
#include "image/unpack.h"
#include "image/unpack_source.h"

namespace trivet::image {

namespace {

constexpr size_t kCopyBuffer = 256U << 10U;

// A tar being written to a descriptor.
class TarFile {
 public:
  using Sink = std::function<Result<>(std::string_view)>;
  using Producer = std::function<Result<>(const Sink&)>;

  static Result<std::unique_ptr<TarFile>> open(int fd) {
    std::unique_ptr<TarFile> file(new TarFile());
    archive_write_set_format_pax_restricted(file->writer_);
    if (archive_write_open_fd(file->writer_, fd) != ARCHIVE_OK) {
      return std::unexpected(file->error("start the archive"));
    }
    return file;
  }
  ~TarFile() { archive_write_free(writer_); }
  TarFile(const TarFile&) = delete;
  TarFile& operator=(const TarFile&) = delete;

  // The producer hands its content, of exactly `size` bytes, to the sink.
  Result<> add(const std::string& name, uint64_t size, const Producer& produce) {
    TRY(add_header(name, size));
    uint64_t left = size;
    const Sink sink = [&](std::string_view bytes) -> Result<> {
      if (bytes.size() > left) return fail(ErrorCode::kCorrupt, "\"{}\" is too long", name);
      left -= bytes.size();
      while (!bytes.empty()) {
        const la_ssize_t count = archive_write_data(writer_, bytes.data(), bytes.size());
        if (count <= 0) return std::unexpected(error("write \"" + name + "\""));
        bytes.remove_prefix(static_cast<size_t>(count));
      }
      return {};
    };
    TRY(produce(sink));
    if (left != 0) return fail(ErrorCode::kCorrupt, "\"{}\" is too short", name);
    return {};
  }

  Result<> add(const std::string& name, std::string_view content) {
    return add(name, content.size(), [&](const Sink& sink) { return sink(content); });
  }

  Result<> finish() {
    if (archive_write_close(writer_) == ARCHIVE_OK) return {};
    return std::unexpected(error("end the archive"));
  }

 private:
  TarFile() : writer_(archive_write_new()) {}

  Result<> add_header(const std::string& name, uint64_t size) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(size));
    archive_entry_set_mtime(entry, 0, 0);
    const int status = archive_write_header(writer_, entry);
    archive_entry_free(entry);
    if (status == ARCHIVE_OK) return {};
    return std::unexpected(error("write \"" + name + "\""));
  }

  Error error(std::string operation) {
    const int why = archive_errno(writer_);
    if (why > 0) return Error::from_errno(why, std::move(operation));
    const char* text = archive_error_string(writer_);
    return {ErrorCode::kSystem,
            fmt::format("{}: {}", operation, text != nullptr ? text : "failed")};
  }

  archive* writer_;
};

Result<> copy_blob(const Store& store, const std::string& digest, const TarFile::Sink& sink) {
  const UniqueFd fd = TRY(store.open_blob(digest));
  std::vector<char> buffer(kCopyBuffer);
  for (;;) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read blob {}", digest);
    if (count == 0) return {};
    TRY(sink({buffer.data(), static_cast<size_t>(count)}));
  }
}

Result<uint64_t> size_of_blob(const Store& store, const std::string& digest) {
  const UniqueFd fd = TRY(store.open_blob(digest));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat blob {}", digest);
  return static_cast<uint64_t>(status.st_size);
}

// --- OCI layout

// One entry for each name, all for the same manifest; one without a name when it has none.
std::string index_of(const Image& image, uint64_t manifest_size) {
  oci::Descriptor descriptor{.media_type = image.manifest.media_type};
  if (descriptor.media_type.empty()) descriptor.media_type = oci::kMediaManifest;
  descriptor.digest = image.manifest_digest;
  descriptor.size = manifest_size;
  oci::Index index;
  for (const Reference& reference : image.references) {
    descriptor.annotations = {{"io.containerd.image.name", reference.canonical()},
                              {"org.opencontainers.image.ref.name", reference.canonical()}};
    index.manifests.push_back(descriptor);
  }
  if (index.manifests.empty()) index.manifests.push_back(descriptor);
  return oci::print_index(index);
}

Result<> write_layout(const Store& store, const Image& image, TarFile& tar) {
  const uint64_t manifest_size = TRY(size_of_blob(store, image.manifest_digest));
  TRY(tar.add("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  TRY(tar.add("index.json", index_of(image, manifest_size)));
  std::set<std::string> digests{image.manifest_digest, image.id};
  for (const oci::Descriptor& layer : image.manifest.layers) digests.insert(layer.digest);
  for (const std::string& digest : digests) {
    const uint64_t size = TRY(size_of_blob(store, digest));
    TRY(tar.add("blobs/sha256/" + hex_of(digest), size,
                [&](const TarFile::Sink& sink) { return copy_blob(store, digest, sink); }));
  }
  return {};
}

// --- docker-archive: the layers as plain tars, named by their diff ids

Result<uint64_t> tar_size(const Store& store, const StoreLayout& layout, const LayerRef& layer) {
  if (const auto record = read_layer_record(layout, layer.diff_id)) return record->tar_bytes;
  const UniqueFd fd = TRY(store.open_blob(layer.blob.digest));
  return TRY(measure_layer(fd.get(), store.limits()))
  .tar_bytes;
}

Result<> copy_uncompressed(const Store& store, const LayerRef& layer, const TarFile::Sink& sink) {
  const UniqueFd fd = TRY(store.open_blob(layer.blob.digest));
  const auto input = TRY(Decompressor::open(fd.get(), {}));
  for (;;) {
    const std::string_view bytes = TRY(input->next());
    if (bytes.empty()) return {};
    TRY(sink(bytes));
  }
}

Result<> write_docker_archive(const Store& store, const StoreLayout& layout, const Image& image,
                              TarFile& tar) {
  const auto layers = TRY(file_system_layers(image.manifest, image.config));
  const bool has_modules = std::ranges::any_of(
      layers, [](const LayerRef& layer) { return is_wasm_module_layer(layer.blob.media_type); });
  if (has_modules || layers.size() != image.manifest.layers.size()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "only images of file system layers fit this format")
            .hint("use the OCI format"));
  }
  const std::string config_name = hex_of(image.id) + ".json";
  std::vector<std::string> layer_names;
  for (const LayerRef& layer : layers) layer_names.push_back(hex_of(layer.diff_id) + ".tar");
  std::vector<std::string> tags;
  for (const Reference& reference : image.references) {
    if (!reference.tag.empty()) tags.push_back(reference.familiar());
  }
  const Json manifest = {{{"Config", config_name}, {"RepoTags", tags}, {"Layers", layer_names}}};
  TRY(tar.add("manifest.json", manifest.dump()));
  const std::string config = TRY(store.read_blob(image.id));
  TRY(tar.add(config_name, config));
  std::set<std::string> written;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!written.insert(layer_names[i]).second) continue;
    const uint64_t size = TRY(tar_size(store, layout, layers[i]));
    TRY(tar.add(layer_names[i], size, [&](const TarFile::Sink& sink) {
      return copy_uncompressed(store, layers[i], sink);
    }));
  }
  return {};
}

Result<> write_archive(const Store& store, const StoreLayout& layout, const Image& image, int fd,
                       Store::ArchiveFormat format) {
  const auto tar = TRY(TarFile::open(fd));
  if (format == Store::ArchiveFormat::kOci) {
    TRY(write_layout(store, image, *tar));
  } else {
    TRY(write_docker_archive(store, layout, image, *tar));
  }
  return tar->finish();
}

// A pipe or a device is written to directly; a file appears when it is complete.
bool is_stream(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

}  // namespace

Result<> Store::save(const Image& image, const std::string& path, ArchiveFormat format) const {
  const StoreLayout& layout = state_->layout;
  if (path == "-") return write_archive(*this, layout, image, STDOUT_FILENO, format);
  if (is_stream(path)) {
    const UniqueFd fd = TRY_IN(open_file(path, O_WRONLY), "cannot save");
    TRY_IN(write_archive(*this, layout, image, fd.get(), format), "cannot save \"{}\"", path);
    return {};
  }
  const std::string temporary = fmt::format("{}.tmp-{}", path, random_hex(4));
  Rollback rollback;
  const UniqueFd fd =
      TRY_IN(open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0644), "cannot save");
  rollback.add([&temporary]() -> Result<> {
    if (unlink(temporary.c_str()) != 0) return fail_errno("remove \"{}\"", temporary);
    return {};
  });
  TRY_IN(write_archive(*this, layout, image, fd.get(), format), "cannot save \"{}\"", path);
  if (rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("cannot save \"{}\"", path);
  rollback.commit();
  return {};
}

}  // namespace trivet::image
