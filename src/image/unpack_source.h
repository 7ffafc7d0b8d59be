// A layer blob as a stream of tar entries: decompressed, hashed, checked by the gate, parsed.
#pragma once

#include <cstdint>
#include <functional>
#include <locale.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/digest.h"
#include "image/unpack_gate.h"
#include "image/unpack_locale.h"

struct archive;
struct archive_entry;

namespace trivet::image {

// How a blob is compressed, by its first bytes. kUnsupported for compressions no layer may have.
enum class Compression { kNone, kGzip, kZstd };
Result<Compression> detect_compression(int fd);

// The uncompressed bytes of a file, in pieces.
class Decompressor {
 public:
  using Progress = std::function<void(uint64_t compressed_bytes)>;

  // Reads `fd` from its beginning; it must stay open.
  static Result<std::unique_ptr<Decompressor>> open(int fd, Progress progress);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // The next piece, valid until the next call; empty at the end. kCorrupt when the compressed
  // stream is damaged or ends too early.
  Result<std::string_view> next();

 private:
  Decompressor(int fd, Progress progress);
  static long read_callback(archive* reader, void* self, const void** buffer);

  int fd_;
  Progress progress_;
  archive* reader_;
  std::vector<char> buffer_;
  uint64_t consumed_ = 0;
};

// One layer. Not thread-safe; the address must not change, as libarchive calls back.
class LayerSource {
 public:
  // `max_tar_bytes` bounds what the blob may decompress to (kLimitExceeded).
  static Result<std::unique_ptr<LayerSource>> open(int fd, uint64_t max_tar_bytes,
                                                   Decompressor::Progress progress);
  ~LayerSource();
  LayerSource(const LayerSource&) = delete;
  LayerSource& operator=(const LayerSource&) = delete;

  // The next entry, null at the end of the archive; valid until the next call.
  Result<archive_entry*> next();

  struct Piece {
    std::string_view bytes;
    uint64_t offset = 0;
  };
  // A piece of the content of the current entry; nothing at its end. Holes are skipped over.
  Result<std::optional<Piece>> read();

  // Reads to the end of the blob and returns the digest of the whole tar.
  Result<std::string> finish();
  [[nodiscard]] uint64_t tar_bytes() const { return tar_bytes_; }

 private:
  explicit LayerSource(uint64_t max_tar_bytes);
  static long read_callback(archive* reader, void* self, const void** buffer);
  Result<std::string_view> pull();
  Error error_of(archive* reader);

  std::unique_ptr<Decompressor> input_;
  uint64_t max_tar_bytes_;
  uint64_t tar_bytes_ = 0;
  Sha256 hash_;
  TarGate gate_;
  std::optional<Error> failure_;  // what stopped read_callback
  archive* reader_;
  ArchiveLocale locale_;
};

}  // namespace trivet::image
