// Pull from and push to OCI registries (distribution-spec 1.1).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/reference.h"
#include "image/store.h"

namespace trivet::image {

struct RegistryOptions {
  // False: accept any certificate and, for loopback registries, plain HTTP. With true, HTTP is
  // still tried for a loopback registry (localhost, 127.0.0.0/8, ::1), as Docker does.
  bool tls_verify = true;
  std::string ca_file;      // PEM; besides the system's; also /etc/containers/certs.d/HOST/*.crt
  std::string credentials;  // "user:password"; else Docker's config.json and credential helpers
  std::string
      auth_file;  // else $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json, ~/.docker/config.json
  std::vector<std::string> mirrors;  // tried first, in order: "https://host[:port]"
  bool plain_http = false;           // the registry, which is no mirror, speaks HTTP
  std::chrono::seconds timeout{300};
  int parallel = 4;        // layers at once; at most 256 blobs in flight
  oci::Platform platform;  // empty: this host's
};

// What happened to one blob; called from the pulling threads, one call at a time.
struct PullEvent {
  enum class Kind {
    kResolved,     // a layer of the image, in their order, before anything is transferred
    kExists,       // the store (on push: the registry) has it
    kDownloading,  // about ten times a second
    kDownloaded,
    kUnpacking,  // `done` counts compressed bytes
    kUnpacked,
    kUploading,
    kUploaded,
    kRetry,  // of a blob, of the manifest (`digest` is then the tag) or of a mirror (no digest)
  };
  Kind kind = Kind::kDownloading;
  std::string digest;   // of the blob
  uint64_t done = 0;    // bytes
  uint64_t total = 0;   // bytes
  std::string message;  // kRetry: why
};
using PullProgress = std::function<void(const PullEvent&)>;

// Fetches the manifest (through indexes, nested too), the config and the layers, each verified,
// unpacks the layers in parallel with the download, and registers the image. Resumes broken
// downloads with Range, retries with back-off. A failure leaves no image and no half layer.
Result<Image> pull(const Store& store, const Reference& reference, const RegistryOptions& options,
                   const PullProgress& progress = {}, std::stop_token stop = {});

// Uploads what the registry does not have and then the manifest.
Result<> push(const Store& store, const Image& image, const Reference& reference,
              const RegistryOptions& options, const PullProgress& progress = {},
              std::stop_token stop = {});

}  // namespace trivet::image
