#include <algorithm>
#include <utility>

#include "image/registry.h"
#include "image/registry_blob.h"
#include "image/registry_workers.h"

namespace trivet::image {

namespace {

using Kind = PullEvent::Kind;

constexpr std::chrono::milliseconds kReportInterval{100};

// One blob from the store to the registry, in one PUT (distribution-spec: "POST then PUT").
class BlobUpload {
 public:
  BlobUpload(RegistryConnection& connection, const oci::Descriptor& blob, UniqueFd content,
             ProgressSink& progress)
      : connection_(connection), blob_(blob), content_(std::move(content)), progress_(progress) {}

  Result<> run() {
    if (TRY(exists())) {
      report(Kind::kExists, blob_.size);
      return {};
    }
    const HttpResponse response =
        TRY(connection_.retry([this] { return attempt(); }, progress_.retries_of(blob_.digest)));
    if (!response.ok()) return failed(response);
    report(Kind::kUploaded, blob_.size);
    return {};
  }

 private:
  void report(Kind kind, uint64_t done) {
    last_report_ = Clock::now();
    progress_.report({.kind = kind, .digest = blob_.digest, .done = done, .total = blob_.size});
  }

  [[nodiscard]] std::unexpected<Error> failed(const HttpResponse& response) {
    return std::unexpected(status_error(connection_.session(), response, "blob " + blob_.digest));
  }

  Result<bool> exists() {
    HttpRequest request;
    request.method = "HEAD";
    request.url = connection_.session().url("blobs/" + blob_.digest);
    const HttpResponse response = TRY(connection_.retry([&] { return connection_.send(request); }));
    if (!response.ok() && response.status != 404) return failed(response);
    return response.ok();
  }

  // An upload that broke is begun anew: what the registry kept of it is its business.
  Result<HttpResponse> attempt() {
    HttpRequest begin;
    begin.method = "POST";
    begin.url = connection_.session().url("blobs/uploads/");
    HttpResponse begun = TRY(connection_.send(begin));
    if (!begun.ok()) return begun;
    const std::string place = TRY(resolve_url(begin.url, begun.header("location")));
    HttpRequest put;
    put.method = "PUT";
    put.url = fmt::format("{}{}digest={}", place, place.find('?') == place.npos ? '?' : '&',
                          percent_encode(blob_.digest));
    put.headers = {"Content-Type: application/octet-stream"};
    put.body_fd = content_.get();
    put.body_size = blob_.size;
    put.on_sent = [this](uint64_t sent) {
      if (Clock::now() - last_report_ >= kReportInterval) report(Kind::kUploading, sent);
    };
    report(Kind::kUploading, 0);
    return connection_.send(std::move(put));
  }

  RegistryConnection& connection_;
  const oci::Descriptor& blob_;
  UniqueFd content_;
  ProgressSink& progress_;
  Clock::time_point last_report_;
};

std::vector<oci::Descriptor> list_blobs(const oci::Manifest& manifest) {
  std::vector<oci::Descriptor> result{manifest.config};
  for (const oci::Descriptor& layer : manifest.layers) {
    const bool known =
        std::ranges::find(result, layer.digest, &oci::Descriptor::digest) != result.end();
    if (!known) result.push_back(layer);
  }
  return result;
}

Result<> push_manifest(RegistryConnection& connection, const Store& store, const Image& image,
                       const std::string& version, ProgressSink& progress) {
  HttpRequest request;
  request.method = "PUT";
  request.url = connection.session().url("manifests/" + version);
  request.body = TRY(store.read_blob(image.manifest_digest));
  const std::string_view type = image.manifest.media_type.empty()
                                    ? oci::kMediaManifest
                                    : std::string_view(image.manifest.media_type);
  request.headers = {fmt::format("Content-Type: {}", type)};
  const HttpResponse response =
      TRY(connection.retry([&] { return connection.send(request); }, progress.retries_of(version)));
  if (!response.ok()) {
    return std::unexpected(status_error(connection.session(), response, "manifest"));
  }
  const std::string stored = response.header("docker-content-digest");
  if (stored.starts_with("sha256:") && stored != image.manifest_digest) {
    return fail(ErrorCode::kDigestMismatch, "the registry stored the manifest as {} instead of {}",
                stored, image.manifest_digest);
  }
  return {};
}

Result<> push_to(const Endpoint& endpoint, const Store& store, const Image& image,
                 const Reference& reference, const RegistryOptions& options, const Bounds& bounds,
                 ProgressSink& progress) {
  auto session = TRY(
      RegistrySession::open(endpoint, reference, RegistrySession::Access::kPush, options, bounds));
  const std::vector<oci::Descriptor> blobs = list_blobs(image.manifest);
  for (const oci::Descriptor& blob : blobs) {
    progress.report({.kind = Kind::kResolved, .digest = blob.digest, .total = blob.size});
  }
  const auto push_one = [&](RegistryConnection& connection, size_t i,
                            const std::stop_token& /*stop*/) -> Result<> {
    UniqueFd content = TRY(store.open_blob(blobs[i].digest));
    BlobUpload upload(connection, blobs[i], std::move(content), progress);
    return upload.run();
  };
  TRY(for_each_in_parallel(session, bounds, blobs.size(), options.parallel, push_one));
  RegistryConnection connection = TRY(RegistryConnection::open(session, bounds));
  return push_manifest(connection, store, image, reference.version(), progress);
}

}  // namespace

Result<> push(const Store& store, const Image& image, const Reference& reference,
              const RegistryOptions& options, const PullProgress& progress, std::stop_token stop) {
  const Bounds bounds{.deadline = Clock::now() + options.timeout, .stop = std::move(stop)};
  ProgressSink sink(progress);
  RegistryOptions own = options;
  own.mirrors.clear();  // a mirror serves pulls only
  const auto endpoints = TRY(list_endpoints(reference, own));
  return push_to(endpoints.front(), store, image, reference, own, bounds, sink);
}

}  // namespace trivet::image
