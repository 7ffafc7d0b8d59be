// Blobs: writing with verification and resumption, reading.
#include <algorithm>
#include <array>
#include <sys/file.h>
#include <unistd.h>

#include "image/digest.h"
#include "image/store_layout.h"

namespace trivet::image {

namespace {

constexpr uint64_t kWorthResuming = 64U << 10U;

// Marks content as just used, so that garbage collection counts its age from now.
void freshen(const std::string& path) {
  (void)utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
}

// Opens and locks the partial file of a digest. Nothing when somebody else writes it right now, or
// just renamed the file we opened into place.
Result<std::optional<UniqueFd>> open_partial(const std::string& path) {
  UniqueFd fd = TRY(open_file(path, O_RDWR | O_CREAT, 0600));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    return fail_errno("lock \"{}\"", path);
  }
  struct stat opened{};
  struct stat named{};
  if (fstat(fd.get(), &opened) != 0) return fail_errno("stat \"{}\"", path);
  if (stat(path.c_str(), &named) != 0 || named.st_ino != opened.st_ino) return std::nullopt;
  return fd;
}

}  // namespace

struct BlobWriter::State {
  StoreLayout layout;
  std::string digest;  // empty: unknown
  uint64_t expected_size = 0;
  uint64_t limit = 0;
  FileLock gc_lock;
  UniqueFd fd;
  std::string path;
  bool resumable = false;
  bool settled = false;  // committed or discarded
  uint64_t offset = 0;
  Sha256 hash;

  // What to call it in errors.
  [[nodiscard]] std::string name() const {
    return digest.empty() ? std::string("blob") : fmt::format("blob {}", short_digest(digest));
  }

  // Hashes what an earlier attempt left.
  Result<> take_over() {
    std::vector<char> buffer(size_t{256} << 10U);
    for (;;) {
      const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno("read \"{}\"", path);
      if (count == 0) break;
      hash.update({buffer.data(), static_cast<size_t>(count)});
      offset += static_cast<uint64_t>(count);
    }
    if (offset > limit || (expected_size != 0 && offset > expected_size)) return start_over();
    return {};
  }

  Result<> start_over() {
    if (ftruncate(fd.get(), 0) != 0) return fail_errno("truncate \"{}\"", path);
    if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("seek \"{}\"", path);
    hash = Sha256();
    offset = 0;
    return {};
  }

  void drop() {
    settled = true;
    (void)unlink(path.c_str());
    fd.reset();
  }

  Result<> publish() {
    if (fsync(fd.get()) != 0) return fail_errno("sync \"{}\"", path);
    const std::string final_path = layout.blob(digest);
    if (rename(path.c_str(), final_path.c_str()) != 0) {
      return fail_errno("rename \"{}\" to \"{}\"", path, final_path);
    }
    settled = true;
    fd.reset();
    return {};
  }
};

BlobWriter::BlobWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;

BlobWriter& BlobWriter::operator=(BlobWriter&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

BlobWriter::~BlobWriter() {
  if (!state_ || state_->settled) return;
  if (!state_->resumable || state_->offset < kWorthResuming) state_->drop();
}

const std::string& BlobWriter::digest() const {
  return state_->digest;
}
uint64_t BlobWriter::offset() const {
  return state_->offset;
}

Result<> BlobWriter::write(std::string_view chunk) {
  State& state = *state_;
  if (chunk.size() > state.limit - std::min(state.limit, state.offset)) {
    state.drop();
    return fail(ErrorCode::kLimitExceeded, "{}: more than {}", state.name(),
                format_size(state.limit));
  }
  if (state.expected_size != 0 && chunk.size() > state.expected_size - state.offset) {
    state.drop();
    return fail(ErrorCode::kCorrupt, "{}: more than the {} bytes its descriptor says", state.name(),
                state.expected_size);
  }
  TRY(write_all(state.fd.get(), chunk, state.path));
  state.hash.update(chunk);
  state.offset += chunk.size();
  return {};
}

Result<> BlobWriter::restart() {
  return state_->start_over();
}

Result<> BlobWriter::commit() {
  State& state = *state_;
  if (state.expected_size != 0 && state.offset != state.expected_size) {
    return fail(ErrorCode::kCorrupt, "{}: ends after {} of {} bytes", state.name(), state.offset,
                state.expected_size);
  }
  std::string found = state.hash.finish();
  if (state.digest.empty()) state.digest = found;
  if (found != state.digest) {
    state.drop();
    return std::unexpected(Error(ErrorCode::kDigestMismatch,
                                 fmt::format("{}: the content has digest {}", state.name(), found))
                               .hint("the content was damaged or changed on its way; try again"));
  }
  return state.publish();
}

void BlobWriter::discard() {
  if (!state_->settled) state_->drop();
}

bool Store::has_blob(const std::string& digest) const {
  if (!check_store_digest(digest)) return false;
  const std::string path = state_->layout.blob(digest);
  if (!exists(path)) return false;
  freshen(path);
  return true;
}

Result<BlobWriter> Store::write_blob(const std::string& digest, uint64_t expected_size,
                                     uint64_t limit) const {
  TRY(check_store_digest(digest));
  const StoreLayout& layout = state_->layout;
  if (expected_size > limit) {
    return fail(ErrorCode::kLimitExceeded, "blob {}: {} is over the limit of {}",
                short_digest(digest), format_size(expected_size), format_size(limit));
  }
  FileLock gc_lock = TRY(layout.lock_against_gc());
  auto state =
      std::make_unique<BlobWriter::State>(BlobWriter::State{.layout = layout,
                                                            .digest = digest,
                                                            .expected_size = expected_size,
                                                            .limit = limit,
                                                            .gc_lock = std::move(gc_lock)});
  state->path = fmt::format("{}/{}.part", layout.tmp(), hex_of(digest));
  if (auto partial = TRY(open_partial(state->path))) {
    state->fd = std::move(*partial);
    state->resumable = true;
    TRY(state->take_over());
  } else {
    // Another process is at it: both fetch, and the last rename wins harmlessly.
    state->path = fmt::format("{}/{}.{}.part", layout.tmp(), hex_of(digest), random_hex(8));
    state->fd = TRY(open_file(state->path, O_RDWR | O_CREAT | O_EXCL, 0600));
    (void)flock(state->fd.get(), LOCK_EX | LOCK_NB);  // says to prune that it is alive
  }
  return BlobWriter(std::move(state));
}

Result<BlobWriter> Store::write_new_blob(uint64_t limit) const {
  const StoreLayout& layout = state_->layout;
  FileLock gc_lock = TRY(layout.lock_against_gc());
  auto state = std::make_unique<BlobWriter::State>(
      BlobWriter::State{.layout = layout, .limit = limit, .gc_lock = std::move(gc_lock)});
  state->path = fmt::format("{}/new.{}.part", layout.tmp(), random_hex(8));
  state->fd = TRY(open_file(state->path, O_RDWR | O_CREAT | O_EXCL, 0600));
  (void)flock(state->fd.get(), LOCK_EX | LOCK_NB);  // says to prune that it is alive
  return BlobWriter(std::move(state));
}

Result<std::string> Store::put_blob(std::string_view content) const {
  std::string digest = digest_of(content);
  if (has_blob(digest)) return digest;
  BlobWriter writer = TRY(write_blob(digest, content.size(), content.size()));
  TRY(writer.restart());
  TRY(writer.write(content));
  TRY(writer.commit());
  return digest;
}

Result<UniqueFd> Store::open_blob(const std::string& digest) const {
  TRY(check_store_digest(digest));
  auto fd = open_file(state_->layout.blob(digest), O_RDONLY);
  if (!fd && fd.error().errnum() == ENOENT) {
    return fail(ErrorCode::kNotFound, "blob {} is not in the store", digest);
  }
  return fd;
}

Result<std::string> Store::read_blob(const std::string& digest) const {
  const UniqueFd fd = TRY(open_blob(digest));
  std::string content = TRY(read_fd(fd.get(), digest));
  if (const std::string found = digest_of(content); found != digest) {
    return std::unexpected(
        Error(ErrorCode::kDigestMismatch,
              fmt::format("blob {}: the stored content has digest {}", digest, found))
            .hint("the store is damaged: remove the image and pull it again"));
  }
  return content;
}

}  // namespace trivet::image
