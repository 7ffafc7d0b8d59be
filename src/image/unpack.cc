#include "image/unpack.h"

#include "image/unpack_entry.h"
#include "image/unpack_source.h"
#include "image/unpack_writer.h"

namespace trivet::image {

namespace {

// A header block and its padding for every file, besides their content.
constexpr uint64_t kTarOverhead = 4096;

Result<Unpacked> unpack(int blob_fd, int root_fd, const Limits& limits,
                        LayerWriter::Whiteouts whiteouts, const Store::Progress& progress) {
  const auto source = TRY(LayerSource::open(blob_fd, max_tar_bytes(limits), progress));
  LayerWriter writer = TRY(LayerWriter::create(root_fd, limits, whiteouts));
  while (archive_entry* raw = TRY(source->next())) {
    const LayerEntry entry = TRY(parse_layer_entry(raw));
    TRY(writer.add(entry, *source));
  }
  TRY(writer.finish());
  Unpacked unpacked {
    .diff_id = TRY(source->finish())
  };
  unpacked.bytes = writer.bytes();
  unpacked.files = writer.files();
  unpacked.tar_bytes = source->tar_bytes();
  unpacked.skipped = writer.skipped();
  unpacked.opaque_root = writer.opaque_root();
  unpacked.has_wasm = writer.has_wasm();
  return unpacked;
}

// A layer's whiteouts concern the layers below whatever their place in the tar, so they are all
// applied before its first file is made.
Result<> apply_whiteouts(int blob_fd, int root_fd, const Limits& limits) {
  const auto source = TRY(LayerSource::open(blob_fd, max_tar_bytes(limits), {}));
  uint64_t count = 0;
  while (archive_entry* raw = TRY(source->next())) {
    if (++count > limits.files_per_layer) break;  // the second pass says so
    const LayerEntry entry = TRY(parse_layer_entry(raw));
    if (entry.type != LayerEntry::Type::kWhiteout && entry.type != LayerEntry::Type::kOpaque) {
      continue;
    }
    TRY_IN(apply_whiteout(root_fd, entry), "whiteout of \"{}\"", entry.path.text());
  }
  return {};
}

}  // namespace

uint64_t max_tar_bytes(const Limits& limits) {
  return limits.rootfs_bytes + limits.files_per_layer * kTarOverhead;
}

Result<Unpacked> unpack_as_layer(int blob_fd, int root_fd, const Limits& limits,
                                 const Store::Progress& progress) {
  return unpack(blob_fd, root_fd, limits, LayerWriter::Whiteouts::kMark, progress);
}

Result<Unpacked> unpack_over(int blob_fd, int root_fd, const Limits& limits) {
  TRY(apply_whiteouts(blob_fd, root_fd, limits));
  return unpack(blob_fd, root_fd, limits, LayerWriter::Whiteouts::kIgnore, {});
}

Result<Unpacked> measure_layer(int blob_fd, const Limits& limits) {
  const auto source = TRY(LayerSource::open(blob_fd, max_tar_bytes(limits), {}));
  Unpacked measured {
    .diff_id = TRY(source->finish())
  };
  measured.tar_bytes = source->tar_bytes();
  return measured;
}

}  // namespace trivet::image
