// From a reference to the manifest of one image: through indexes, verified.
#pragma once

#include <string>

#include "base/result.h"
#include "image/registry_session.h"
#include "oci/image_spec.h"

namespace trivet::image {

// Indexes in indexes, at most this deep.
inline constexpr int kMaxIndexDepth = 4;

struct ResolvedManifest {
  std::string digest;
  std::string content;  // as received
  oci::Manifest manifest;
};

// Fetches manifests/VERSION and follows indexes to the manifest for the first of `wanted` that
// there is. Each body must have the digest it was asked by and the one the registry's header names
// (kDigestMismatch). kNotFound when there is no such image or none for the platform; kUnsupported
// for schema 1 and unknown types.
Result<ResolvedManifest> resolve_manifest(RegistryConnection& connection,
                                          const Reference& reference,
                                          const std::vector<oci::Platform>& wanted, uint64_t limit,
                                          const RegistryConnection::OnRetry& on_retry);

}  // namespace trivet::image
