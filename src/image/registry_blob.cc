#include "image/registry_blob.h"

#include <utility>

#include "base/text.h"

namespace trivet::image {

namespace {

using Kind = PullEvent::Kind;

constexpr std::chrono::milliseconds kReportInterval{100};

// The first byte of "bytes 100-199/200" (RFC 9110 section 14.4); -1 if it is no such text.
int64_t range_start(std::string_view header) {
  constexpr std::string_view kUnit = "bytes ";
  if (!header.starts_with(kUnit)) return -1;
  header.remove_prefix(kUnit.size());
  return parse_int(header.substr(0, header.find('-'))).value_or(-1);
}

class BlobDownload {
 public:
  BlobDownload(RegistryConnection& connection, const oci::Descriptor& blob, BlobWriter writer,
               ProgressSink& progress)
      : connection_(connection),
        blob_(blob),
        writer_(std::move(writer)),
        progress_(progress),
        received_(writer_.offset()) {}

  Result<> run() {
    report(Kind::kDownloading);
    const HttpResponse response =
        TRY(connection_.retry([this] { return attempt(); }, progress_.retries_of(blob_.digest)));
    if (!response.ok()) {
      return std::unexpected(status_error(connection_.session(), response, "blob " + blob_.digest));
    }
    TRY(writer_.commit());
    report(Kind::kDownloaded);
    return {};
  }

  Result<> restart() {
    received_ = 0;
    return writer_.restart();
  }

 private:
  void report(Kind kind) {
    last_report_ = Clock::now();
    progress_.report(
        {.kind = kind, .digest = blob_.digest, .done = received_, .total = blob_.size});
  }

  Result<HttpResponse> attempt() {
    if (received_ == blob_.size) return HttpResponse{.status = 200};
    if (!resumable_ && received_ > 0) TRY(restart());
    HttpRequest request;
    request.url = connection_.session().url("blobs/" + blob_.digest);
    if (received_ > 0) request.headers.push_back(fmt::format("Range: bytes={}-", received_));
    started_ = false;
    request.on_body = [this](const HttpResponse& head, std::string_view chunk) {
      return take(head, chunk);
    };
    HttpResponse response = TRY(connection_.send(std::move(request)));
    if (response.status == 416 && received_ > 0) {
      resumable_ = false;
      return fail(ErrorCode::kNetwork, "blob {}: the registry can't resume at {}", blob_.digest,
                  received_);
    }
    if (response.ok() && received_ < blob_.size) {
      return fail(ErrorCode::kNetwork, "blob {}: truncated: the registry sent {} of {} bytes",
                  blob_.digest, received_, blob_.size);
    }
    return response;
  }

  // What was asked for need not be what comes: 200 is the whole blob, 206 some part of it.
  Result<> check_start(const HttpResponse& head) {
    started_ = true;
    if (head.status != 206) return received_ > 0 ? restart() : Result<>{};
    if (range_start(head.header("content-range")) == static_cast<int64_t>(received_)) return {};
    resumable_ = false;
    return fail(ErrorCode::kNetwork, "the registry sent another range than asked for");
  }

  Result<> take(const HttpResponse& head, std::string_view chunk) {
    if (!started_) TRY(check_start(head));
    if (chunk.size() > blob_.size - received_) {
      return fail(ErrorCode::kCorrupt, "the registry sent more than the {} bytes of the manifest",
                  blob_.size);
    }
    TRY(writer_.write(chunk));
    received_ += chunk.size();
    if (Clock::now() - last_report_ >= kReportInterval) report(Kind::kDownloading);
    return {};
  }

  RegistryConnection& connection_;
  const oci::Descriptor& blob_;
  BlobWriter writer_;
  ProgressSink& progress_;
  uint64_t received_;
  bool resumable_ = true;
  bool started_ = false;
  Clock::time_point last_report_;
};

}  // namespace

Result<> download_blob(RegistryConnection& connection, const Store& store,
                       const oci::Descriptor& blob, uint64_t limit, ProgressSink& progress) {
  if (blob.size > limit) {
    return fail(ErrorCode::kLimitExceeded, "blob {}: {} is over the limit of {}", blob.digest,
                format_size(blob.size), format_size(limit));
  }
  BlobDownload first(connection, blob, TRY(store.write_blob(blob.digest, blob.size, limit)),
                     progress);
  const auto done = first.run();
  if (done || done.error().code() != ErrorCode::kDigestMismatch) return done;
  // What an earlier attempt had left may have been bad: once more, from the first byte.
  progress.retries_of(blob.digest)(done.error().message());
  BlobDownload second(connection, blob, TRY(store.write_blob(blob.digest, blob.size, limit)),
                      progress);
  TRY(second.restart());
  return second.run();
}

}  // namespace trivet::image
