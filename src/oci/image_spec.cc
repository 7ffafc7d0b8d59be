// Parsing what registries and image archives send: untrusted bytes.
#include "oci/image_spec.h"

#include <algorithm>

#include "oci/field.h"

namespace trivet::oci {

namespace {

// Reads a digest and checks its form.
Result<> get_digest(const Field& field, std::string& out) {
  TRY(field.get(out));
  TRY_IN(check_digest(out), "{}", field.path());
  return {};
}

Result<Platform> read_platform(const Field& field) {
  Platform platform;
  TRY(field.read_required("os", platform.os));
  TRY(field.read_required("architecture", platform.architecture));
  TRY(field.read("variant", platform.variant));
  return platform;
}

Result<Descriptor> read_descriptor(const Field& field) {
  Descriptor descriptor;
  TRY(field.read_required("mediaType", descriptor.media_type));
  const Field digest = TRY(field.find("digest"));
  if (!digest) return digest.invalid("missing");
  TRY(get_digest(digest, descriptor.digest));
  int64_t size = 0;  // signed in the specification
  TRY(field.read_required("size", size));
  if (size < 0) return field.at("size").invalid("{} is out of range", size);
  descriptor.size = static_cast<uint64_t>(size);
  TRY(field.read("platform", descriptor.platform, read_platform));
  TRY(field.read("annotations", descriptor.annotations));
  return descriptor;
}

Result<> check_schema(const Field& field, std::string_view oci_type, std::string_view docker_type,
                      std::string& media_type) {
  int version = 0;
  TRY(field.read_required("schemaVersion", version));
  if (version != 2) {
    return field.at("schemaVersion").invalid("{} is not supported, only 2 is", version);
  }
  TRY(field.read("mediaType", media_type));
  if (media_type.empty() || media_type == oci_type || media_type == docker_type) return {};
  return field.at("mediaType")
      .invalid("expected \"{}\" or \"{}\", not \"{}\"", oci_type, docker_type, media_type);
}

[[nodiscard]] std::unexpected<Error> too_many_layers(const Field& field, size_t count) {
  return fail(ErrorCode::kLimitExceeded, "{}: {} layers, more than the limit of {}", field.path(),
              count, kMaxLayers);
}

Result<> read_layers(const Field& field, std::vector<Descriptor>& out) {
  const Field layers = TRY(field.find("layers"));
  if (!layers) return layers.invalid("missing");
  const size_t count = TRY(layers.array_size());
  if (count > kMaxLayers) return too_many_layers(layers, count);
  return field.read("layers", out, read_descriptor);
}

Result<Manifest> read_manifest(const Field& field) {
  Manifest manifest;
  TRY(check_schema(field, kMediaManifest, kMediaDockerManifest, manifest.media_type));
  TRY(field.read("artifactType", manifest.artifact_type));
  const Field config = TRY(field.find("config"));
  if (!config) return config.invalid("missing");
  manifest.config = TRY(read_descriptor(config));
  TRY(read_layers(field, manifest.layers));
  TRY(field.read("annotations", manifest.annotations));
  return manifest;
}

Result<Index> read_index(const Field& field) {
  Index index;
  std::string media_type;
  TRY(check_schema(field, kMediaIndex, kMediaDockerList, media_type));
  const Field manifests = TRY(field.find("manifests"));
  if (!manifests) return manifests.invalid("missing");
  TRY(field.read("manifests", index.manifests, read_descriptor));
  TRY(field.read("annotations", index.annotations));
  return index;
}

Result<> read_names(const Field& field, std::string_view key, std::vector<std::string>& out) {
  const Field object = TRY(field.find(key));
  return object ? object.get_names(out) : Result<>{};
}

// runc refuses such entries at the start; say it where it is wrong.
Result<> check_env(const Field& field, const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    const size_t name_size = entry.find('=');
    if (name_size != std::string::npos && name_size != 0) continue;
    return field.invalid("\"{}\" is not of the form NAME=VALUE", entry);
  }
  return {};
}

// The members that image-spec took over from Docker: hence their capitals.
Result<> read_execution(const Field& document, ImageConfig& config) {
  const Field field = TRY(document.find("config"));
  if (!field) return {};
  TRY(field.read("User", config.user));
  TRY(read_names(field, "ExposedPorts", config.exposed_ports));
  TRY(field.read("Env", config.env));
  TRY(check_env(field.at("Env"), config.env));
  TRY(field.read("Entrypoint", config.entrypoint));
  TRY(field.read("Cmd", config.cmd));
  TRY(read_names(field, "Volumes", config.volumes));
  TRY(field.read("WorkingDir", config.working_dir));
  TRY(field.read("Labels", config.labels));
  return field.read("StopSignal", config.stop_signal);
}

Result<> read_rootfs(const Field& document, std::vector<std::string>& diff_ids) {
  const Field field = TRY(document.find("rootfs"));
  if (!field) return field.invalid("missing");
  std::string type;
  TRY(field.read_required("type", type));
  if (type != "layers") {
    return field.at("type").invalid("expected \"layers\", not \"{}\"", type);
  }
  const Field ids = TRY(field.find("diff_ids"));
  if (!ids) return {};  // Docker writes null for an image without layers
  const size_t count = TRY(ids.array_size());
  if (count > kMaxLayers) return too_many_layers(ids, count);
  diff_ids.reserve(count);
  return ids.for_each(
      [&](const Field& id) -> Result<> { return get_digest(id, diff_ids.emplace_back()); });
}

Result<HistoryEntry> read_history_entry(const Field& field) {
  HistoryEntry entry;
  TRY(field.read("created", entry.created));
  TRY(field.read("created_by", entry.created_by));
  TRY(field.read("comment", entry.comment));
  TRY(field.read("empty_layer", entry.empty_layer));
  return entry;
}

Result<ImageConfig> read_image_config(const Field& field) {
  ImageConfig config;
  TRY(field.read("created", config.created));
  TRY(field.read("author", config.author));
  config.platform = TRY(read_platform(field));
  TRY(read_execution(field, config));
  TRY(read_rootfs(field, config.diff_ids));
  TRY(field.read("history", config.history, read_history_entry));
  return config;
}

Result<ImageConfig> read_wasm_config(const Field& field) {
  ImageConfig config;
  TRY(field.read("created", config.created));
  TRY(field.read("author", config.author));
  config.platform = TRY(read_platform(field));
  return config;
}

template <typename T>
Result<T> parse_document(std::string_view json, std::string_view what,
                         Result<T> (*read)(const Field&)) {
  JsonDocument document;
  TRY(document.parse(json, what, kMaxImageDocumentBytes));
  return read(Field(document.root(), ""));
}

}  // namespace

Result<> check_digest(std::string_view digest) {
  constexpr std::string_view kPrefix = "sha256:";
  constexpr size_t kHexDigits = 64;
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (digest.starts_with(kPrefix) && digest.size() == kPrefix.size() + kHexDigits &&
      std::ranges::all_of(digest.substr(kPrefix.size()), is_hex)) {
    return {};
  }
  constexpr size_t kLongestShown = 80;
  return fail(ErrorCode::kInvalidArgument,
              "\"{}\" is no digest: expected \"sha256:\" and 64 lower-case hex digits",
              digest.substr(0, kLongestShown));
}

Result<Index> parse_index(std::string_view json) {
  return parse_document(json, "image index", read_index);
}

Result<Manifest> parse_manifest(std::string_view json) {
  return parse_document(json, "image manifest", read_manifest);
}

Result<ImageConfig> parse_image_config(std::string_view json) {
  return parse_document(json, "image config", read_image_config);
}

Result<ImageConfig> parse_wasm_config(std::string_view json) {
  return parse_document(json, "Wasm config", read_wasm_config);
}

}  // namespace trivet::oci
