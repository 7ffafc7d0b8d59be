// image-spec 1.1 as types: descriptors, manifests, indexes and image configurations, with Docker's
// schema 2 forms (image-spec: descriptor.md, manifest.md, image-index.md, config.md).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::oci {

// Media types that trivet knows.
inline constexpr std::string_view kMediaIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kMediaManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kMediaConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kMediaWasmConfig = "application/vnd.wasm.config.v0+json";
inline constexpr std::string_view kMediaLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kMediaLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kMediaLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kMediaDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kMediaDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kMediaDockerConfig =
    "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kMediaDockerLayer =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
};

struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:" and 64 hex digits, checked by the parsers
  uint64_t size = 0;
  std::optional<Platform> platform;
  std::map<std::string, std::string> annotations;
};

struct Index {
  std::vector<Descriptor> manifests;
  std::map<std::string, std::string> annotations;
};

struct Manifest {
  std::string media_type;
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::map<std::string, std::string> annotations;
};

struct HistoryEntry {
  std::string created;  // RFC 3339, may be empty
  std::string created_by;
  std::string comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string created;
  std::string author;
  Platform platform;
  // config.config
  std::string user;
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::vector<std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  // rootfs and history
  std::vector<std::string> diff_ids;
  std::vector<HistoryEntry> history;
};

// What the parsers accept at most: larger documents, and longer lists of layers, are refused with
// kLimitExceeded.
inline constexpr size_t kMaxImageDocumentBytes = size_t{1} << 20;
inline constexpr size_t kMaxLayers = 128;

// "sha256:" + 64 lower-case hex digits, nothing else.
Result<> check_digest(std::string_view digest);

// Each takes untrusted bytes. A field that is missing, of a wrong type or out of range is an error
// that names it (kInvalidArgument); what is no JSON is kCorrupt. Unknown members are left alone.
// parse_index and parse_manifest also take Docker's schema 2 and refuse each other's documents;
// neither takes Docker's schema 1.
Result<Index> parse_index(std::string_view json);
Result<Manifest> parse_manifest(std::string_view json);
Result<ImageConfig> parse_image_config(std::string_view json);
// The config of a Wasm artifact (CNCF: wasm-oci-artifact), which only says what it is for.
Result<ImageConfig> parse_wasm_config(std::string_view json);
// The OCI form on one line, byte for byte the same for equal values. An empty media_type of a
// manifest becomes kMediaManifest.
[[nodiscard]] std::string print_index(const Index& index);
[[nodiscard]] std::string print_manifest(const Manifest& manifest);
[[nodiscard]] std::string print_image_config(const ImageConfig& config);

}  // namespace trivet::oci
