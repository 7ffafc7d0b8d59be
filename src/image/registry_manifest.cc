#include "image/registry_manifest.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/json.h"
#include "image/digest.h"
#include "image/registry_platform.h"

namespace trivet::image {

namespace {

// Schema 1 is named so that a registry that still has such an image sends it, and we can say so
// rather than "not found".
constexpr std::array<std::string_view, 6> kAccepted{
    oci::kMediaIndex,
    oci::kMediaManifest,
    oci::kMediaDockerList,
    oci::kMediaDockerManifest,
    "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1",
    "application/vnd.docker.distribution.manifest.v1+json;q=0.1",
};
// Fetches of one resolution, whatever the shape of the indexes.
constexpr int kMaxFetches = 32;

struct Document {
  std::string digest;
  std::string content;
  std::string type;
};

enum class Shape { kIndex, kManifest };

// By its members, not by its media type: a document that could be read as both is refused, so that
// two programs can't see different images in it (CVE-2021-41190).
Result<Shape> shape_of(const Document& document) {
  const Json json = TRY(parse_json(document.content, "manifest " + document.digest));
  if (!json.is_object()) return fail(ErrorCode::kCorrupt, "the manifest is no JSON object");
  const bool index = json.contains("manifests");
  const bool manifest = json.contains("layers") || json.contains("config");
  if (index && manifest) {
    return fail(ErrorCode::kCorrupt, "the manifest is both an index and an image");
  }
  if (index) return Shape::kIndex;
  if (manifest) return Shape::kManifest;
  if (json.contains("schemaVersion") && json["schemaVersion"] == 1) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "the image is in Docker's schema 1, obsolete since 2017")
            .hint("have it pushed again with a current Docker, Podman or skopeo"));
  }
  return fail(ErrorCode::kUnsupported, "the manifest is of an unknown type \"{}\"", document.type);
}

class Resolver {
 public:
  Resolver(RegistryConnection& connection, std::vector<oci::Platform> wanted, uint64_t limit,
           const RegistryConnection::OnRetry& on_retry)
      : connection_(connection), wanted_(std::move(wanted)), limit_(limit), on_retry_(on_retry) {}

  Result<ResolvedManifest> resolve(const std::string& version, int depth) {
    Document document = TRY(fetch(version));
    if (TRY(shape_of(document)) == Shape::kManifest) {
      oci::Manifest manifest =
          TRY_IN(oci::parse_manifest(document.content), "manifest {}", document.digest);
      if (manifest.media_type.empty()) manifest.media_type = document.type;
      return ResolvedManifest{std::move(document.digest), std::move(document.content),
                              std::move(manifest)};
    }
    if (depth == kMaxIndexDepth) {
      return fail(ErrorCode::kLimitExceeded, "indexes are nested deeper than {}", kMaxIndexDepth);
    }
    const oci::Index index =
        TRY_IN(oci::parse_index(document.content), "index {}", document.digest);
    return choose(index, depth);
  }

 private:
  // A nested index may turn out to lack the platform: then the next best entry is tried.
  Result<ResolvedManifest> choose(const oci::Index& index, int depth) {
    std::optional<Error> missing;
    for (const oci::Descriptor& entry : TRY(choose_manifests(index, wanted_))) {
      auto found = resolve(entry.digest, depth + 1);
      if (found || found.error().code() != ErrorCode::kNotFound) return found;
      if (!missing) missing = std::move(found).error();
    }
    return std::unexpected(std::move(*missing));
  }

  Result<Document> fetch(const std::string& version) {
    if (++fetches_ > kMaxFetches) {
      return fail(ErrorCode::kLimitExceeded, "the index leads to more than {} manifests",
                  kMaxFetches);
    }
    HttpRequest request;
    request.url = connection_.session().url("manifests/" + version);
    request.response_limit = limit_;
    for (const std::string_view type : kAccepted) {
      request.headers.push_back(fmt::format("Accept: {}", type));
    }
    HttpResponse response =
        TRY(connection_.retry([&] { return connection_.send(request); }, on_retry_));
    if (!response.ok()) {
      return std::unexpected(
          status_error(connection_.session(), response, "manifest \"" + version + "\""));
    }
    return verify(version, std::move(response));
  }

  static Result<Document> verify(const std::string& version, HttpResponse response) {
    const std::string digest = digest_of(response.body);
    const std::string named = response.header("docker-content-digest");
    for (const std::string& expected : {version, named}) {
      if (!expected.starts_with("sha256:") || expected == digest) continue;
      return fail(ErrorCode::kDigestMismatch,
                  "the registry sent a manifest with digest {} instead of {}", digest, expected);
    }
    std::string type = response.header("content-type");
    type.erase(std::min(type.find(';'), type.size()));
    return Document{digest, std::move(response.body), std::move(type)};
  }

  RegistryConnection& connection_;
  std::vector<oci::Platform> wanted_;
  uint64_t limit_;
  const RegistryConnection::OnRetry& on_retry_;
  int fetches_ = 0;
};

}  // namespace

Result<ResolvedManifest> resolve_manifest(RegistryConnection& connection,
                                          const Reference& reference,
                                          const std::vector<oci::Platform>& wanted, uint64_t limit,
                                          const RegistryConnection::OnRetry& on_retry) {
  Resolver resolver(connection, wanted, limit, on_retry);
  auto result = resolver.resolve(reference.version(), 0);
  if (result || result.error().code() != ErrorCode::kNotFound) return result;
  return std::unexpected(
      std::move(result).error().hint("check the spelling of the name and of the tag"));
}

}  // namespace trivet::image
