#include <algorithm>
#include <utility>

#include "image/registry.h"
#include "image/registry_blob.h"
#include "image/registry_manifest.h"
#include "image/registry_platform.h"
#include "image/registry_workers.h"

namespace trivet::image {

namespace {

using Kind = PullEvent::Kind;

constexpr std::chrono::milliseconds kReportInterval{100};

struct Layer {
  oci::Descriptor blob;
  std::string diff_id;  // empty: no file system layer, the blob is all there is
};

void report(ProgressSink& progress, Kind kind, const Layer& layer, uint64_t done) {
  progress.report(
      {.kind = kind, .digest = layer.blob.digest, .done = done, .total = layer.blob.size});
}

Result<> pull_layer(RegistryConnection& connection, const Store& store, const Layer& layer,
                    ProgressSink& progress, const std::stop_token& stop) {
  if (store.has_blob(layer.blob.digest)) {
    report(progress, Kind::kExists, layer, layer.blob.size);
  } else {
    TRY(download_blob(connection, store, layer.blob, store.limits().layer_bytes, progress));
  }
  if (layer.diff_id.empty() || store.has_layer(layer.diff_id)) return {};
  if (stop.stop_requested()) return fail(ErrorCode::kCanceled, "canceled");
  report(progress, Kind::kUnpacking, layer, 0);
  auto last = Clock::now();
  TRY(store.unpack_layer(layer.blob, layer.diff_id, [&](uint64_t done) {
    if (Clock::now() - last < kReportInterval) return;
    last = Clock::now();
    report(progress, Kind::kUnpacking, layer, done);
  }));
  report(progress, Kind::kUnpacked, layer, layer.blob.size);
  return {};
}

Result<> check_is_image(const oci::Manifest& manifest, const Limits& limits) {
  const std::string& type = manifest.config.media_type;
  if (type != oci::kMediaConfig && type != oci::kMediaDockerConfig &&
      type != oci::kMediaWasmConfig) {
    return fail(ErrorCode::kUnsupported,
                "this is an artifact of type \"{}\", not a container image",
                manifest.artifact_type.empty() ? type : manifest.artifact_type);
  }
  if (manifest.layers.size() > limits.layers) {
    return fail(ErrorCode::kLimitExceeded, "the image has {} layers; the limit is {}",
                manifest.layers.size(), limits.layers);
  }
  return {};
}

Result<oci::ImageConfig> pull_config(RegistryConnection& connection, const Store& store,
                                     const oci::Manifest& manifest, ProgressSink& progress) {
  const std::string& digest = manifest.config.digest;
  if (!store.has_blob(digest)) {
    TRY(download_blob(connection, store, manifest.config, store.limits().document_bytes, progress));
  }
  const std::string content = TRY(store.read_blob(digest));
  return manifest.config.media_type == oci::kMediaWasmConfig ? oci::parse_wasm_config(content)
                                                             : oci::parse_image_config(content);
}

// A layer that occurs twice is pulled once.
Result<std::vector<Layer>> list_layers(const oci::Manifest& manifest,
                                       const oci::ImageConfig& config) {
  std::vector<Layer> result;
  for (const oci::Descriptor& blob : manifest.layers) {
    const auto same = std::ranges::find(result, blob.digest,
                                        [](const Layer& layer) { return layer.blob.digest; });
    if (same == result.end()) {
      result.push_back({blob, ""});
    } else if (same->blob.size != blob.size) {
      return fail(ErrorCode::kCorrupt, "layer {} is described in two ways", blob.digest);
    }
  }
  for (const LayerRef& unpacked : TRY(file_system_layers(manifest, config))) {
    for (Layer& layer : result) {
      if (layer.blob.digest != unpacked.blob.digest) continue;
      if (!layer.diff_id.empty() && layer.diff_id != unpacked.diff_id) {
        return fail(ErrorCode::kCorrupt, "layer {} is described in two ways", layer.blob.digest);
      }
      layer.diff_id = unpacked.diff_id;
    }
  }
  return result;
}

Result<Image> pull_from(const Endpoint& endpoint, const Store& store, const Reference& reference,
                        const RegistryOptions& options, const Bounds& bounds,
                        ProgressSink& progress) {
  auto session = TRY(
      RegistrySession::open(endpoint, reference, RegistrySession::Access::kPull, options, bounds));
  RegistryConnection connection = TRY(RegistryConnection::open(session, bounds));
  const bool any = options.platform.os.empty() && options.platform.architecture.empty();
  const std::vector<oci::Platform> wanted =
      any ? runnable_platforms() : std::vector{options.platform};
  const ResolvedManifest resolved =
      TRY(resolve_manifest(connection, reference, wanted, store.limits().document_bytes,
                           progress.retries_of(reference.version())));
  TRY(check_is_image(resolved.manifest, store.limits()));
  const oci::ImageConfig config =
      TRY_IN(pull_config(connection, store, resolved.manifest, progress), "config");
  if (!any && !platform_matches(config.platform, options.platform)) {
    return fail(ErrorCode::kNotFound, "the image is for platform {}, not {}",
                print_platform(config.platform), print_platform(options.platform));
  }
  const std::vector<Layer> layers = TRY(list_layers(resolved.manifest, config));
  for (const Layer& layer : layers) {
    progress.report(
        {.kind = Kind::kResolved, .digest = layer.blob.digest, .total = layer.blob.size});
  }
  const auto pull_one = [&](RegistryConnection& worker, size_t i,
                            const std::stop_token& stop) -> Result<> {
    TRY_IN(pull_layer(worker, store, layers[i], progress, stop), "layer {}", layers[i].blob.digest);
    return {};
  };
  TRY(for_each_in_parallel(session, bounds, layers.size(), options.parallel, pull_one));
  const std::string stored = TRY(store.put_blob(resolved.content));
  return store.add_image(stored, reference);
}

}  // namespace

Result<Image> pull(const Store& store, const Reference& reference, const RegistryOptions& options,
                   const PullProgress& progress, std::stop_token stop) {
  const Bounds bounds{.deadline = Clock::now() + options.timeout, .stop = std::move(stop)};
  ProgressSink sink(progress);
  const auto endpoints = TRY(list_endpoints(reference, options));
  for (const Endpoint& endpoint : endpoints) {
    auto image = pull_from(endpoint, store, reference, options, bounds, sink);
    if (image) return image;
    Error error = std::move(image).error();
    const bool final_error = error.code() == ErrorCode::kCanceled ||
                             error.code() == ErrorCode::kTimeout || !endpoint.is_mirror;
    if (final_error) return std::unexpected(std::move(error));
    sink.report({.kind = Kind::kRetry,
                 .message = fmt::format("mirror {}: {}", endpoint.host, error.message())});
  }
  return fail(ErrorCode::kInvalidArgument, "no registry to ask for {}", reference.familiar());
}

}  // namespace trivet::image
