// Unpacked layers.
#include <ranges>
#include <sys/file.h>
#include <unistd.h>

#include "base/rollback.h"
#include "image/digest.h"
#include "image/store_layout.h"
#include "image/unpack.h"
#include "image/unpack_source.h"
#include "image/wasm_layer.h"

namespace trivet::image {

namespace {

// A directory of tmp/ that is held against prune while it fills.
struct Workplace {
  std::string path;
  UniqueFd fd;
};

Result<Workplace> make_workplace(const StoreLayout& layout, const std::string& diff_id) {
  Workplace place;
  place.path = fmt::format("{}/layer-{}-{}", layout.tmp(), hex_of(diff_id), random_hex(8));
  if (mkdir(place.path.c_str(), 0700) != 0) return fail_errno("mkdir \"{}\"", place.path);
  place.fd = TRY(open_file(place.path, O_RDONLY | O_DIRECTORY));
  (void)flock(place.fd.get(), LOCK_EX | LOCK_NB);
  return place;
}

// A module instead of a tar.
Result<Unpacked> unpack_module(int blob_fd, int root_fd, const oci::Descriptor& blob) {
  TRY(copy_module(blob_fd, root_fd, blob.size));
  return Unpacked{.diff_id = blob.digest,
                  .bytes = blob.size,
                  .files = 1,
                  .tar_bytes = blob.size,
                  .has_wasm = true};
}

// Fills PLACE/diff and writes the records beside it.
Result<> fill(const Workplace& place, int blob_fd, const oci::Descriptor& blob,
              const std::string& diff_id, const Limits& limits, const Store::Progress& progress) {
  // 0755 is the mode of "/" when the layer does not say; the umask must not narrow it.
  if (mkdirat(place.fd.get(), "diff", 0755) != 0) return fail_errno("mkdir \"{}\"", place.path);
  const UniqueFd root = TRY(open_at(place.fd.get(), "diff", O_RDONLY | O_DIRECTORY));
  if (fchmod(root.get(), 0755) != 0) return fail_errno("chmod \"{}/diff\"", place.path);
  const Unpacked unpacked = TRY(is_wasm_module_layer(blob.media_type)
                                    ? unpack_module(blob_fd, root.get(), blob)
                                    : unpack_as_layer(blob_fd, root.get(), limits, progress));
  if (unpacked.diff_id != diff_id) {
    return std::unexpected(Error(ErrorCode::kDigestMismatch,
                                 fmt::format("the uncompressed content has digest {}, not {}",
                                             unpacked.diff_id, diff_id))
                               .hint("the image's config and its layers do not belong together"));
  }
  TRY(write_layer_record(place.fd.get(), {.bytes = unpacked.bytes,
                                          .files = unpacked.files,
                                          .tar_bytes = unpacked.tar_bytes,
                                          .skipped = unpacked.skipped}));
  if (unpacked.opaque_root) {
    TRY(open_at(place.fd.get(), kOpaqueRootMarker, O_WRONLY | O_CREAT, 0600));
  }
  if (unpacked.has_wasm) TRY(make_code_directory(place.fd.get()));
  TRY(open_at(place.fd.get(), unpacked_marker(), O_WRONLY | O_CREAT, 0600));
  return {};
}

// Puts the finished layer into its place. What is there already is the same layer, or a remainder
// of a crash.
Result<> publish(const StoreLayout& layout, const Workplace& place, const std::string& diff_id) {
  const std::string target = layout.layer(diff_id);
  if (exists(target) && !layer_is_usable(layout, diff_id)) {
    TRY(remove_tree(AT_FDCWD, target));
  }
  if (rename(place.path.c_str(), target.c_str()) == 0) return {};
  if ((errno == EEXIST || errno == ENOTEMPTY) && layer_is_usable(layout, diff_id)) {
    return remove_tree(AT_FDCWD, place.path);
  }
  return fail_errno("rename \"{}\" to \"{}\"", place.path, target);
}

Result<> unpack_into_place(const StoreLayout& layout, const Limits& limits, int blob_fd,
                           const oci::Descriptor& blob, const std::string& diff_id,
                           const Store::Progress& progress) {
  const Workplace place = TRY(make_workplace(layout, diff_id));
  Rollback rollback;
  rollback.add([&place] { return remove_tree(AT_FDCWD, place.path); });
  auto done = fill(place, blob_fd, blob, diff_id, limits, progress);
  if (done) done = publish(layout, place, diff_id);
  if (!done) return std::unexpected(rollback.fail(std::move(done).error()));
  rollback.commit();
  return {};
}

// The limit is for compressed layers; a plain tar (from `docker save`, from a directory) is bounded
// by what it unpacks to.
Result<> check_size(int blob_fd, const Limits& limits) {
  struct stat status{};
  if (fstat(blob_fd, &status) != 0) return fail_errno("stat the blob");
  const auto size = static_cast<uint64_t>(status.st_size);
  if (TRY(detect_compression(blob_fd)) == Compression::kNone || size <= limits.layer_bytes) {
    return {};
  }
  return fail(ErrorCode::kLimitExceeded, "{} compressed, over the limit of {}", format_size(size),
              format_size(limits.layer_bytes));
}

}  // namespace

bool Store::has_layer(const std::string& diff_id) const {
  if (!check_store_digest(diff_id) || !layer_is_usable(state_->layout, diff_id)) return false;
  // Garbage collection counts its age from now.
  (void)utimensat(AT_FDCWD, state_->layout.layer(diff_id).c_str(), nullptr, 0);
  return true;
}

Result<> Store::unpack_layer(const oci::Descriptor& layer, const std::string& diff_id,
                             const Progress& progress) const {
  TRY(check_store_digest(diff_id));
  const StoreLayout& layout = state_->layout;
  const FileLock gc_lock = TRY(layout.lock_against_gc());
  // One process unpacks a layer; the others wait and find it done.
  const std::string lock_path = fmt::format("{}/layer-{}.lock", layout.tmp(), hex_of(diff_id));
  const FileLock lock = TRY(FileLock::acquire(AT_FDCWD, lock_path));
  Rollback unlock;
  unlock.add([&lock_path]() -> Result<> {
    (void)unlink(lock_path.c_str());
    return {};
  });
  if (has_layer(diff_id)) return {};
  const UniqueFd blob = TRY(open_blob(layer.digest));
  TRY_IN(check_size(blob.get(), state_->limits), "layer {}", short_digest(layer.digest));
  TRY_IN(unpack_into_place(layout, state_->limits, blob.get(), layer, diff_id, progress),
         "cannot unpack layer {}", short_digest(layer.digest));
  return {};
}

Result<std::vector<std::string>> Store::layer_directories(const Image& image) const {
  std::vector<std::string> directories;
  const auto layers = TRY(file_system_layers(image.manifest, image.config));
  for (const LayerRef& layer : std::views::reverse(layers)) {
    if (!layer_is_usable(state_->layout, layer.diff_id)) {
      return std::unexpected(
          Error(ErrorCode::kNotFound, fmt::format("layer {} of image {} is not unpacked",
                                                  layer.diff_id, short_digest(image.id)))
              .hint("pull or import the image again"));
    }
    const std::string directory = state_->layout.layer(layer.diff_id);
    directories.push_back(directory + "/diff");
    if (exists(directory + "/" + kOpaqueRootMarker)) break;
  }
  return directories;
}

}  // namespace trivet::image
