// Archives: an OCI layout, what `docker save` and `podman save` write, or a root file system.
#include <map>
#include <unistd.h>

#include <archive_entry.h>

#include "base/json.h"
#include "image/digest.h"
#include "image/import.h"
#include "image/unpack.h"
#include "image/unpack_entry.h"
#include "image/unpack_source.h"

namespace trivet::image {

namespace {

constexpr size_t kMaxMembers = 100000;
constexpr int kMaxLinks = 40;
constexpr const char* kIndexName = "index.json";
constexpr const char* kManifestName = "manifest.json";
constexpr std::string_view kBlobDirectory = "blobs/sha256";

// What the whole archive may be: a few images.
uint64_t max_archive_bytes(const Limits& limits) {
  return 4 * (max_tar_bytes(limits) + limits.layers * limits.document_bytes);
}

// What the archive is, by the names at its top.
enum class ArchiveKind { kLayout, kDocker, kRootfs };
struct Inspected {
  ArchiveKind kind = ArchiveKind::kRootfs;
  std::string diff_id;  // of the whole tar: what a rootfs needs
};

Result<Inspected> inspect(int fd, const Limits& limits) {
  const auto source = TRY(LayerSource::open(fd, max_archive_bytes(limits), {}));
  bool has_layout = false;
  bool has_index = false;
  bool has_manifest = false;
  size_t count = 0;
  while (archive_entry* raw = TRY(source->next())) {
    ++count;
    const char* name = archive_entry_pathname(raw);
    const auto path = parse_layer_path(name != nullptr ? name : "");
    if (!path || !path->directory.empty()) continue;
    has_layout = has_layout || path->name == "oci-layout";
    has_index = has_index || path->name == kIndexName;
    has_manifest = has_manifest || path->name == kManifestName;
    if (has_layout && has_index) return Inspected{.kind = ArchiveKind::kLayout};
  }
  if (has_manifest) return Inspected{.kind = ArchiveKind::kDocker};
  if (count == 0) return fail(ErrorCode::kCorrupt, "the archive is empty");
  return Inspected {
    .diff_id = TRY(source->finish())
  };
}

Result<std::string> read_member(LayerSource& source, const LayerEntry& entry, size_t limit) {
  if (entry.size > limit) {
    return fail(ErrorCode::kLimitExceeded, "\"{}\" has {}, at most {} are allowed",
                entry.path.text(), format_size(entry.size), format_size(limit));
  }
  std::string content;
  while (const auto piece = TRY(source.read())) {
    if (piece->offset > limit || piece->bytes.size() > limit - piece->offset) break;
    content.resize(piece->offset, '\0');
    content.append(piece->bytes);
  }
  return content;
}

Result<> copy_member(LayerSource& source, const LayerEntry& entry, BlobWriter& writer) {
  uint64_t end = 0;
  while (const auto piece = TRY(source.read())) {
    if (piece->offset != end) return fail(ErrorCode::kUnsupported, "a sparse file in an archive");
    TRY_IN(writer.write(piece->bytes), "\"{}\"", entry.path.text());
    end += piece->bytes.size();
  }
  return {};
}

// Calls `visit` for every file and link.
template <typename Visit>
Result<> for_each_member(int fd, const Limits& limits, Visit visit) {
  const auto source = TRY(LayerSource::open(fd, max_archive_bytes(limits), {}));
  size_t count = 0;
  while (archive_entry* raw = TRY(source->next())) {
    if (++count > kMaxMembers) {
      return fail(ErrorCode::kLimitExceeded, "more than {} files in the archive", kMaxMembers);
    }
    const LayerEntry entry = TRY(parse_layer_entry(raw));
    TRY(visit(*source, entry));
  }
  return {};
}

// --- OCI layout

Result<> take_layout_blob(const Store& store, LayerSource& source, const LayerEntry& entry) {
  const std::string digest = "sha256:" + entry.path.name;
  TRY_IN(oci::check_digest(digest), "\"{}\"", entry.path.text());
  if (store.has_blob(digest)) return {};
  BlobWriter writer = TRY(store.write_blob(digest, entry.size, max_tar_bytes(store.limits())));
  TRY(writer.restart());
  TRY(copy_member(source, entry, writer));
  return writer.commit();
}

Result<std::vector<Image>> import_layout_archive(const Store& store, int fd,
                                                 const std::optional<Reference>& name) {
  std::string index;
  const auto visit = [&](LayerSource& source, const LayerEntry& entry) -> Result<> {
    if (entry.type != LayerEntry::Type::kFile) return {};
    if (entry.path.text() == kIndexName) {
      index = TRY(read_member(source, entry, store.limits().document_bytes));
    }
    if (entry.path.directory == kBlobDirectory) return take_layout_blob(store, source, entry);
    return {};
  };
  TRY(for_each_member(fd, store.limits(), visit));
  const auto fetch = [&](const oci::Descriptor& blob) -> Result<> {
    if (store.has_blob(blob.digest)) return {};
    return fail(ErrorCode::kCorrupt, "the archive lacks the blob {}", blob.digest);
  };
  return import_index(store, index, fetch, name);
}

// --- docker-archive

struct DockerArchive {
  std::string manifest;
  std::map<std::string, std::string> blobs;  // member to digest
  std::map<std::string, std::string> links;  // member to member
};

// "a/../b" and "./b" to "b"; symbolic links in these archives point to a sibling's directory.
std::string resolve_member(std::string_view directory, std::string_view target) {
  std::vector<std::string> parts;
  const std::string joined =
      target.starts_with('/') ? std::string(target) : fmt::format("{}/{}", directory, target);
  for (std::string& part : split(joined, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(std::move(part));
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return join(parts, "/");
}

// Metadata of Docker's first format, beside what manifest.json lists.
bool is_legacy(const LayerEntry& entry) {
  return entry.path.name == "json" || entry.path.name == "VERSION" ||
         entry.path.text() == "repositories";
}

Result<> take_docker_member(const Store& store, LayerSource& source, const LayerEntry& entry,
                            DockerArchive& archive) {
  const std::string path = entry.path.text();
  if (entry.type == LayerEntry::Type::kSymlink) {
    archive.links[path] = resolve_member(entry.path.directory, entry.target);
  } else if (entry.type == LayerEntry::Type::kHardLink) {
    archive.links[path] = entry.link.text();
  } else if (entry.type != LayerEntry::Type::kFile || is_legacy(entry)) {
    return {};
  } else if (path == kManifestName) {
    archive.manifest = TRY(read_member(source, entry, store.limits().document_bytes));
  } else {
    BlobWriter writer = TRY(store.write_new_blob(max_tar_bytes(store.limits())));
    TRY(copy_member(source, entry, writer));
    TRY(writer.commit());
    archive.blobs[path] = writer.digest();
  }
  return {};
}

Result<std::string> digest_of_member(const DockerArchive& archive, const std::string& member) {
  std::string path = resolve_member("", member);
  for (int followed = 0; followed < kMaxLinks; ++followed) {
    if (const auto found = archive.blobs.find(path); found != archive.blobs.end()) {
      return found->second;
    }
    const auto link = archive.links.find(path);
    if (link == archive.links.end()) break;
    path = link->second;
  }
  return fail(ErrorCode::kCorrupt, "manifest.json names \"{}\", which the archive does not have",
              member);
}

Result<Image> import_docker_image(const Store& store, const DockerArchive& archive,
                                  const JsonView& entry, const std::optional<Reference>& name) {
  std::string config;
  std::vector<std::string> layers;
  std::vector<std::string> tags;
  TRY(entry.read("Config", config));
  TRY(entry.read("Layers", layers));
  TRY(entry.read("RepoTags", tags));
  std::vector<std::string> digests;
  for (const std::string& layer : layers) {
    digests.push_back(TRY(digest_of_member(archive, layer)));
  }
  std::vector<Reference> names;
  if (name) names.push_back(*name);
  for (const std::string& tag : tags) {
    if (!name) names.push_back(TRY(parse_reference(tag)));
  }
  const std::string config_digest = TRY(digest_of_member(archive, config));
  const std::string manifest = TRY(put_manifest(store, config_digest, digests));
  return import_manifest(store, manifest, names);
}

Result<std::vector<Image>> import_docker_archive(const Store& store, int fd,
                                                 const std::optional<Reference>& name) {
  DockerArchive archive;
  TRY(for_each_member(fd, store.limits(), [&](LayerSource& source, const LayerEntry& entry) {
    return take_docker_member(store, source, entry, archive);
  }));
  const Json document = TRY(parse_json(archive.manifest, kManifestName));
  const auto entries = TRY(JsonView(document, kManifestName).elements());
  if (entries.empty()) return fail(ErrorCode::kCorrupt, "manifest.json lists no image");
  if (name && entries.size() > 1) {
    return fail(ErrorCode::kInvalidArgument,
                "there are {} images inside: they can't all be named \"{}\"", entries.size(),
                name->familiar());
  }
  std::vector<Image> images;
  for (const JsonView& entry : entries) {
    images.push_back(TRY(import_docker_image(store, archive, entry, name)));
  }
  return images;
}

}  // namespace

Result<std::vector<Image>> import_archive(const Store& store, int fd,
                                          const std::optional<Reference>& name) {
  const Inspected inspected = TRY(inspect(fd, store.limits()));
  if (inspected.kind == ArchiveKind::kLayout) return import_layout_archive(store, fd, name);
  if (inspected.kind == ArchiveKind::kDocker) return import_docker_archive(store, fd, name);
  const Reference wanted = TRY(require_name(name));
  if (lseek(fd, 0, SEEK_SET) < 0) return fail_errno("seek");
  const std::string layer = TRY(put_fd(store, fd, max_tar_bytes(store.limits())));
  std::vector<Image> images;
  images.push_back(
      TRY(import_rootfs_layer(store, layer, inspected.diff_id, wanted, rootfs_config())));
  return images;
}

}  // namespace trivet::image
