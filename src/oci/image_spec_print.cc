#include "oci/image_spec.h"
#include "oci/json_writer.h"

namespace trivet::oci {

namespace {

constexpr int kSchemaVersion = 2;

void write_platform(JsonWriter& writer, const Platform& platform) {
  writer.member("architecture", platform.architecture);
  writer.member("os", platform.os);
  writer.optional_member("variant", platform.variant);
}

void write_descriptor(JsonWriter& writer, const Descriptor& descriptor) {
  writer.member("mediaType", descriptor.media_type);
  writer.member("digest", descriptor.digest);
  writer.member("size", descriptor.size);
  writer.object("platform", descriptor.platform, write_platform);
  writer.optional_member("annotations", descriptor.annotations);
}

// Go's map[string]struct{}.
void write_names(JsonWriter& writer, std::string_view key, const std::vector<std::string>& names) {
  if (names.empty()) return;
  writer.begin_object(key);
  for (const std::string& name : names) {
    writer.begin_object(name);
    writer.end_object();
  }
  writer.end_object();
}

void write_execution(JsonWriter& writer, const ImageConfig& config) {
  writer.begin_object("config");
  writer.optional_member("User", config.user);
  write_names(writer, "ExposedPorts", config.exposed_ports);
  writer.optional_member("Env", config.env);
  writer.optional_member("Entrypoint", config.entrypoint);
  writer.optional_member("Cmd", config.cmd);
  write_names(writer, "Volumes", config.volumes);
  writer.optional_member("WorkingDir", config.working_dir);
  writer.optional_member("Labels", config.labels);
  writer.optional_member("StopSignal", config.stop_signal);
  writer.end_object();
}

void write_history_entry(JsonWriter& writer, const HistoryEntry& entry) {
  writer.optional_member("created", entry.created);
  writer.optional_member("created_by", entry.created_by);
  writer.optional_member("comment", entry.comment);
  writer.optional_member("empty_layer", entry.empty_layer);
}

}  // namespace

std::string print_index(const Index& index) {
  JsonWriter writer;
  writer.begin_object();
  writer.member("schemaVersion", kSchemaVersion);
  writer.member("mediaType", kMediaIndex);
  writer.required_objects("manifests", index.manifests, write_descriptor);
  writer.optional_member("annotations", index.annotations);
  writer.end_object();
  return writer.text();
}

std::string print_manifest(const Manifest& manifest) {
  JsonWriter writer;
  writer.begin_object();
  writer.member("schemaVersion", kSchemaVersion);
  writer.member("mediaType", manifest.media_type.empty() ? kMediaManifest
                                                         : std::string_view(manifest.media_type));
  writer.optional_member("artifactType", manifest.artifact_type);
  writer.object("config", manifest.config, write_descriptor);
  writer.required_objects("layers", manifest.layers, write_descriptor);
  writer.optional_member("annotations", manifest.annotations);
  writer.end_object();
  return writer.text();
}

std::string print_image_config(const ImageConfig& config) {
  JsonWriter writer;
  writer.begin_object();
  writer.optional_member("created", config.created);
  writer.optional_member("author", config.author);
  write_platform(writer, config.platform);
  write_execution(writer, config);
  writer.begin_object("rootfs");
  writer.member("type", "layers");
  writer.member("diff_ids", config.diff_ids);
  writer.end_object();
  writer.objects("history", config.history, write_history_entry);
  writer.end_object();
  return writer.text();
}

}  // namespace trivet::oci
