// Removing images and collecting what nothing refers to.
#include <algorithm>
#include <ctime>
#include <functional>
#include <sys/file.h>
#include <unistd.h>

#include "image/digest.h"
#include "image/store_layout.h"

namespace trivet::image {

namespace {

constexpr time_t kYoungSeconds = 3600;

// Hex digits of blobs and layers.
struct Content {
  std::set<std::string> blobs;
  std::set<std::string> layers;
};

// Everything a registered image refers to.
Result<> add_content(const StoreLayout& layout, const Limits& limits, const ImageRecord& record,
                     Content& content) {
  const Image image = TRY(load_image(layout, limits, record, {}));
  content.blobs.insert(hex_of(image.manifest_digest));
  content.blobs.insert(hex_of(image.id));
  for (const oci::Descriptor& layer : image.manifest.layers) {
    content.blobs.insert(hex_of(layer.digest));
  }
  for (const std::string& diff_id : image.config.diff_ids) content.layers.insert(hex_of(diff_id));
  return {};
}

// A record whose documents are gone or damaged refers to nothing more; removing images must work
// in such a store too.
Result<Content> content_of(const StoreLayout& layout, const Limits& limits,
                           const std::vector<ImageRecord>& records) {
  Content content;
  for (const ImageRecord& record : records) {
    if (auto added = add_content(layout, limits, record, content); !added) {
      content.blobs.insert(hex_of(record.manifest_digest));
      content.blobs.insert(hex_of(record.id));
    }
  }
  return content;
}

bool is_young(const std::string& path) {
  struct stat status{};
  return lstat(path.c_str(), &status) == 0 && status.st_mtime > time(nullptr) - kYoungSeconds;
}

// Whether a live writer holds it: writers and unpackers hold a flock on their temporary.
bool is_held(const std::string& path) {
  const auto fd = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  return fd && flock(fd->get(), LOCK_EX | LOCK_NB) != 0;
}

// Takes a layer out of sight first: a crash half-way leaves rubbish in tmp/, not half a layer.
Result<> delete_layer(const StoreLayout& layout, const std::string& hex) {
  const std::string grave = fmt::format("{}/deleted-{}", layout.tmp(), random_hex(8));
  const std::string directory = layout.layers() + "/" + hex;
  if (rename(directory.c_str(), grave.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("rename \"{}\" to \"{}\"", directory, grave);
  }
  return remove_tree(AT_FDCWD, grave);
}

uint64_t occupied(const std::string& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) return 0;
  if (!S_ISDIR(status.st_mode)) return static_cast<uint64_t>(status.st_blocks) * 512U;
  return disk_usage(AT_FDCWD, path).value_or(0);
}

// Both delete what `keep` says no to, and return the bytes that got free.
using Keep = std::function<bool(const std::string& hex, const std::string& path)>;

Result<uint64_t> sweep_blobs(const StoreLayout& layout, const Keep& keep) {
  uint64_t freed = 0;
  for (const std::string& hex : TRY(list_dir(AT_FDCWD, layout.blobs()))) {
    const std::string path = layout.blobs() + "/" + hex;
    if (keep(hex, path)) continue;
    freed += occupied(path);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove \"{}\"", path);
  }
  return freed;
}

Result<uint64_t> sweep_layers(const StoreLayout& layout, const Keep& keep) {
  uint64_t freed = 0;
  for (const std::string& hex : TRY(list_dir(AT_FDCWD, layout.layers()))) {
    const std::string path = layout.layers() + "/" + hex;
    if (keep(hex, path)) continue;
    freed += occupied(path);
    TRY(delete_layer(layout, hex));
  }
  return freed;
}

// Leftovers of broken pulls and crashes.
Result<uint64_t> sweep_tmp(const StoreLayout& layout) {
  uint64_t freed = 0;
  for (const std::string& name : TRY(list_dir(AT_FDCWD, layout.tmp()))) {
    const std::string path = layout.tmp() + "/" + name;
    if (is_young(path) || is_held(path)) continue;
    freed += occupied(path);
    TRY(remove_tree(AT_FDCWD, path));
  }
  return freed;
}

std::vector<ImageRecord> without(std::vector<ImageRecord> records,
                                 const std::vector<ImageRecord>& removed) {
  std::erase_if(records, [&](const ImageRecord& record) {
    return std::ranges::any_of(removed, [&](const ImageRecord& gone) {
      return gone.manifest_digest == record.manifest_digest;
    });
  });
  return records;
}

Result<> delete_record(const StoreLayout& layout, const ImageRecord& record) {
  const std::string path = layout.record(record.manifest_digest);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove \"{}\"", path);
  return {};
}

// Deletes the records and what only they referred to. While somebody writes into the store, their
// content stays for a later prune: a pull may just have found one of these layers.
struct Deleted {
  uint64_t bytes = 0;
  bool deferred = false;
};
Result<Deleted> delete_images(const StoreLayout& layout, const Limits& limits,
                              const std::vector<ImageRecord>& removed) {
  const auto gc_lock = TRY(layout.try_lock_for_gc());
  const Content orphans = TRY(content_of(layout, limits, removed));
  const auto kept = without(TRY(list_records(layout)), removed);
  const Content used = TRY(content_of(layout, limits, kept));
  for (const ImageRecord& record : removed) TRY(delete_record(layout, record));
  if (!gc_lock) return Deleted{.deferred = true};
  Deleted deleted;
  deleted.bytes = TRY(sweep_blobs(layout, [&](const std::string& hex, const std::string&) {
    return used.blobs.contains(hex) || !orphans.blobs.contains(hex);
  }));
  deleted.bytes += TRY(sweep_layers(layout, [&](const std::string& hex, const std::string&) {
    return used.layers.contains(hex) || !orphans.layers.contains(hex);
  }));
  return deleted;
}

// The names that point to any of the records.
std::vector<std::string> names_of(const Names& names, const std::vector<ImageRecord>& records) {
  std::vector<std::string> found;
  for (const auto& [name, digest] : names) {
    if (std::ranges::any_of(records, [&, &wanted = digest](const ImageRecord& record) {
          return record.manifest_digest == wanted;
        })) {
      found.push_back(name);
    }
  }
  return found;
}

std::string familiar(const std::string& name) {
  const auto reference = parse_reference(name);
  return reference ? reference->familiar() : name;
}

}  // namespace

Result<std::vector<std::string>> Store::remove(std::string_view name_or_id,
                                               const std::set<std::string>& used_images,
                                               bool force) const {
  const StoreLayout& layout = state_->layout;
  const FileLock lock = TRY(layout.lock_names());
  Names names = TRY(read_names(layout));
  const Match match = TRY(match_records(layout, names, name_or_id));
  const std::string& id = match.records.front().id;
  std::vector<std::string> untagged = names_of(names, match.records);
  const bool only_a_name = !match.name.empty() && untagged.size() > 1;
  if (!match.name.empty()) untagged = {match.name};
  const bool in_use = used_images.contains(id);
  if (!only_a_name && in_use && !force) {
    return std::unexpected(
        Error(ErrorCode::kWrongState,
              fmt::format("cannot remove image \"{}\": a container uses it", name_or_id))
            .hint("remove its containers first, or use --force to remove the name only"));
  }
  std::vector<std::string> report;
  for (const std::string& name : untagged) {
    names.erase(name);
    report.push_back("Untagged: " + familiar(name));
  }
  if (!untagged.empty()) TRY(write_names(layout, names));
  if (only_a_name || in_use) return report;
  const Deleted deleted = TRY(delete_images(layout, state_->limits, match.records));
  report.push_back(deleted.deferred
                       ? fmt::format("Deleted: {} (its layers stay until the next image prune: "
                                     "an image is being pulled)",
                                     id)
                       : fmt::format("Deleted: {}", id));
  return report;
}

Result<Store::Pruned> Store::prune(const std::set<std::string>& used_images, bool all) const {
  const StoreLayout& layout = state_->layout;
  const FileLock lock = TRY(layout.lock_names());
  Names names = TRY(read_names(layout));
  std::vector<ImageRecord> removed;
  for (const ImageRecord& record : TRY(list_records(layout))) {
    const bool dangling = names_of(names, {record}).empty();
    if ((all || dangling) && !used_images.contains(record.id)) removed.push_back(record);
  }
  Pruned pruned;
  for (const ImageRecord& record : removed) {
    const auto its_names = names_of(names, {record});
    pruned.images.push_back(its_names.empty() ? record.id : familiar(its_names.front()));
    for (const std::string& name : its_names) names.erase(name);
  }
  if (!removed.empty()) {
    TRY(write_names(layout, names));
    pruned.bytes = TRY(delete_images(layout, state_->limits, removed))
    .bytes;
  }
  const auto gc_lock = TRY(layout.try_lock_for_gc());
  const auto records = TRY(list_records(layout));
  const Content used = TRY(content_of(layout, state_->limits, records));
  pruned.bytes += TRY(sweep_blobs(layout, [&](const std::string& hex, const std::string& path) {
    return used.blobs.contains(hex) || is_young(path);
  }));
  pruned.bytes += TRY(sweep_layers(layout, [&](const std::string& hex, const std::string& path) {
    return used.layers.contains(hex) || is_young(path);
  }));
  pruned.bytes += TRY(sweep_tmp(layout));
  return pruned;
}

}  // namespace trivet::image
