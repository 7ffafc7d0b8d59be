#include "image/unpack_source.h"

#include <array>
#include <cerrno>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/text.h"

namespace trivet::image {

namespace {

constexpr size_t kBuffer = 256U << 10U;

std::string archive_text(archive* reader) {
  const char* text = archive_error_string(reader);
  return text != nullptr ? text : "unknown error";
}

}  // namespace

Result<Compression> detect_compression(int fd) {
  std::array<char, 6> bytes{};
  const ssize_t count = pread(fd, bytes.data(), bytes.size(), 0);
  if (count < 0) return fail_errno("read the beginning of a layer");
  const std::string_view magic(bytes.data(), static_cast<size_t>(count));
  if (magic.starts_with("\x1f\x8b")) return Compression::kGzip;
  if (magic.starts_with("\x28\xb5\x2f\xfd")) return Compression::kZstd;
  // A skippable frame, as zstd:chunked may begin with.
  if (magic.size() >= 4 && (magic[0] & 0xF0) == 0x50 && magic.substr(1, 3) == "\x2a\x4d\x18") {
    return Compression::kZstd;
  }
  const bool xz = magic.starts_with(
      "\xfd"
      "7zXZ");
  if (xz || magic.starts_with("BZh")) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, fmt::format("compressed with {}", xz ? "xz" : "bzip2"))
            .hint("only gzip, zstd and plain tar are supported: decompress it "
                  "first"));
  }
  return Compression::kNone;
}

Decompressor::Decompressor(int fd, Progress progress)
    : fd_(fd), progress_(std::move(progress)), reader_(archive_read_new()), buffer_(kBuffer) {}

Decompressor::~Decompressor() {
  archive_read_free(reader_);
}

long Decompressor::read_callback(archive* reader, void* self, const void** buffer) {
  auto* input = static_cast<Decompressor*>(self);
  ssize_t count = 0;
  do {
    count = pread(input->fd_, input->buffer_.data(), input->buffer_.size(),
                  static_cast<off_t>(input->consumed_));
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    archive_set_error(reader, errno, "read: %s", strerrordesc_np(errno));
    return -1;
  }
  input->consumed_ += static_cast<uint64_t>(count);
  if (input->progress_ && count > 0) input->progress_(input->consumed_);
  *buffer = input->buffer_.data();
  return count;
}

Result<std::unique_ptr<Decompressor>> Decompressor::open(int fd, Progress progress) {
  const Compression compression = TRY(detect_compression(fd));
  std::unique_ptr<Decompressor> input(new Decompressor(fd, std::move(progress)));
  archive* reader = input->reader_;
  archive_read_support_format_raw(reader);
  archive_read_support_format_empty(reader);
  // Exactly this one filter: a gzip inside a gzip is not ours to unwrap.
  if (compression == Compression::kGzip) archive_read_append_filter(reader, ARCHIVE_FILTER_GZIP);
  if (compression == Compression::kZstd) archive_read_append_filter(reader, ARCHIVE_FILTER_ZSTD);
  if (archive_read_open(reader, input.get(), nullptr, read_callback, nullptr) != ARCHIVE_OK) {
    return fail(ErrorCode::kCorrupt, "{}", archive_text(reader));
  }
  archive_entry* whole = nullptr;
  const int found = archive_read_next_header(reader, &whole);
  if (found != ARCHIVE_OK && found != ARCHIVE_EOF) {
    return fail(ErrorCode::kCorrupt, "{}", archive_text(reader));
  }
  return input;
}

Result<std::string_view> Decompressor::next() {
  for (;;) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int status = archive_read_data_block(reader_, &data, &size, &offset);
    if (status == ARCHIVE_EOF) return std::string_view{};
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
      return std::unexpected(
          Error(ErrorCode::kCorrupt, fmt::format("cannot decompress: {}", archive_text(reader_)))
              .hint("the content is damaged or incomplete; fetch it again"));
    }
    if (size > 0) return std::string_view(static_cast<const char*>(data), size);
  }
}

LayerSource::LayerSource(uint64_t max_tar_bytes)
    : max_tar_bytes_(max_tar_bytes), reader_(archive_read_new()) {}

LayerSource::~LayerSource() {
  archive_read_free(reader_);
}

Result<std::unique_ptr<LayerSource>> LayerSource::open(int fd, uint64_t max_tar_bytes,
                                                       Decompressor::Progress progress) {
  std::unique_ptr<LayerSource> source(new LayerSource(max_tar_bytes));
  source->input_ = TRY(Decompressor::open(fd, std::move(progress)));
  archive* reader = source->reader_;
  archive_read_support_format_tar(reader);
  archive_read_support_format_empty(reader);
  archive_read_set_options(reader, "!mac-ext");  // "._x" is a file like any other
  const ArchiveLocale::Scope scope(source->locale_);
  if (archive_read_open(reader, source.get(), nullptr, read_callback, nullptr) != ARCHIVE_OK) {
    return std::unexpected(source->error_of(reader));
  }
  return source;
}

// The next bytes of the tar, counted, checked and hashed before anybody parses them.
Result<std::string_view> LayerSource::pull() {
  const std::string_view bytes = TRY(input_->next());
  tar_bytes_ += bytes.size();
  if (tar_bytes_ > max_tar_bytes_) {
    return fail(ErrorCode::kLimitExceeded, "unpacks to more than {}", format_size(max_tar_bytes_));
  }
  TRY(gate_.feed(bytes));
  hash_.update(bytes);
  return bytes;
}

long LayerSource::read_callback(archive* reader, void* self, const void** buffer) {
  auto* source = static_cast<LayerSource*>(self);
  auto bytes = source->pull();
  if (!bytes) {
    source->failure_ = std::move(bytes).error();
    archive_set_error(reader, EINVAL, "stopped");
    return -1;
  }
  *buffer = bytes->data();
  return static_cast<long>(bytes->size());
}

Error LayerSource::error_of(archive* reader) {
  if (failure_) return *failure_;
  return Error(ErrorCode::kCorrupt, fmt::format("malformed tar: {}", archive_text(reader)));
}

Result<archive_entry*> LayerSource::next() {
  const ArchiveLocale::Scope scope(locale_);
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(reader_, &entry);
  if (status == ARCHIVE_EOF) return nullptr;
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return std::unexpected(error_of(reader_));
  return entry;
}

Result<std::optional<LayerSource::Piece>> LayerSource::read() {
  const void* data = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  const int status = archive_read_data_block(reader_, &data, &size, &offset);
  if (status == ARCHIVE_EOF) return std::nullopt;
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return std::unexpected(error_of(reader_));
  if (offset < 0) return fail(ErrorCode::kCorrupt, "malformed tar: a negative offset");
  return Piece{.bytes = {static_cast<const char*>(data), size},
               .offset = static_cast<uint64_t>(offset)};
}

Result<std::string> LayerSource::finish() {
  while (!TRY(pull()).empty()) {
  }
  return hash_.finish();
}

}  // namespace trivet::image
