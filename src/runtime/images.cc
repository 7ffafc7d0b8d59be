#include "runtime/images.h"

#include <algorithm>
#include <ranges>

#include "base/json.h"
#include "image/registry.h"
#include "payload/microvm/image_disk.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/template_store.h"
#include "runtime/names.h"
#include "runtime/pool_record.h"

namespace trivet::runtime {

namespace {

Result<oci::Platform> parse_platform(const std::string& text) {
  oci::Platform platform;
  if (text.empty()) return platform;
  const std::vector<std::string> parts = split(text, '/');
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[1].empty()) {
    return fail(ErrorCode::kInvalidArgument, "--platform {}: expected OS/ARCHITECTURE[/VARIANT]",
                text);
  }
  platform.os = parts[0];
  platform.architecture = parts[1];
  if (parts.size() == 3) platform.variant = parts[2];
  return platform;
}

// What the host has for this registry, where the options say nothing else.
Result<image::RegistryOptions> registry_options(const Home& home, const std::string& host,
                                                const TransferOptions& options) {
  image::RegistryOptions registry;
  const auto own = std::ranges::find(home.registries, host, &RegistrySettings::host);
  if (own != home.registries.end()) {
    registry.mirrors = own->mirrors;
    registry.plain_http = own->plain_http;
    registry.ca_file = own->ca_file;
  }
  registry.tls_verify = options.tls_verify;
  if (!options.ca_file.empty()) registry.ca_file = options.ca_file;
  registry.credentials = options.credentials;
  registry.auth_file = options.auth_file;
  registry.platform = TRY(parse_platform(options.platform));
  return registry;
}

TransferEvent::Kind event_kind(image::PullEvent::Kind kind) {
  using From = image::PullEvent::Kind;
  using To = TransferEvent::Kind;
  switch (kind) {
    case From::kResolved:
      return To::kResolved;
    case From::kExists:
      return To::kExists;
    case From::kDownloading:
      return To::kDownloading;
    case From::kDownloaded:
      return To::kDownloaded;
    case From::kUnpacking:
      return To::kUnpacking;
    case From::kUnpacked:
      return To::kUnpacked;
    case From::kRetry:
      return To::kRetry;
    case From::kUploading:
      return To::kUploading;
    case From::kUploaded:
      return To::kUploaded;
  }
  return To::kDownloading;
}

image::PullProgress progress_of(const TransferOptions& options) {
  if (!options.progress) return {};
  return [&options](const image::PullEvent& event) {
    options.progress({.kind = event_kind(event.kind),
                      .digest = event.digest,
                      .done = event.done,
                      .total = event.total,
                      .message = event.message});
  };
}

std::vector<std::string> names_of(const image::Image& image) {
  std::vector<std::string> names;
  for (const image::Reference& reference : image.references) names.push_back(reference.canonical());
  return names;
}

Json describe_history(const oci::ImageConfig& config) {
  Json history = Json::array();
  for (const oci::HistoryEntry& entry : config.history) {
    history.push_back({{"created", entry.created},
                       {"created_by", entry.created_by},
                       {"comment", entry.comment},
                       {"empty_layer", entry.empty_layer}});
  }
  return history;
}

Json describe_image_config(const oci::ImageConfig& config) {
  Json ports = Json::object();
  for (const std::string& port : config.exposed_ports) ports[port] = Json::object();
  Json volumes = Json::object();
  for (const std::string& volume : config.volumes) volumes[volume] = Json::object();
  return {{"User", config.user},
          {"Env", config.env},
          {"Entrypoint", config.entrypoint},
          {"Cmd", config.cmd},
          {"WorkingDir", config.working_dir},
          {"Labels", config.labels},
          {"StopSignal", config.stop_signal},
          {"ExposedPorts", ports},
          {"Volumes", volumes}};
}

}  // namespace

Result<image::Image> pull_image(const Home& home, const image::Reference& reference,
                                const TransferOptions& options) {
  const image::RegistryOptions registry = TRY(registry_options(home, reference.registry, options));
  return image::pull(home.store, reference, registry, progress_of(options), options.stop);
}

Result<> push_image(const Home& home, const std::string& image, const std::string& destination,
                    const TransferOptions& options) {
  const image::Image found = TRY(home.store.find(image));
  const auto target = TRY(image::parse_reference(destination.empty() ? image : destination));
  return image::push(home.store, found, target,
                     TRY(registry_options(home, target.registry, options)), progress_of(options),
                     options.stop);
}

ImageInfo describe_image(const image::Image& image) {
  ImageInfo info;
  info.id = image.id;
  info.digest = image.manifest_digest;
  info.names = names_of(image);
  info.size = image.size;
  info.created = parse_timestamp(image.config.created).value_or(image.stored_at);
  info.labels = image.config.labels;
  info.os = image.config.platform.os;
  info.architecture = image.config.platform.architecture;
  return info;
}

std::vector<ImageHistoryEntry> image_history(const image::Image& image) {
  std::vector<ImageHistoryEntry> history;
  for (const oci::HistoryEntry& entry : std::views::reverse(image.config.history)) {
    history.push_back({.created = entry.created,
                       .created_by = entry.created_by,
                       .comment = entry.comment,
                       .empty_layer = entry.empty_layer});
  }
  return history;
}

std::string inspect_image(const image::Image& image) {
  Json layers = Json::array();
  for (const oci::Descriptor& layer : image.manifest.layers) {
    layers.push_back(
        {{"MediaType", layer.media_type}, {"Digest", layer.digest}, {"Size", layer.size}});
  }
  const Json document = {{"Id", image.id},
                         {"Digest", image.manifest_digest},
                         {"RepoTags", names_of(image)},
                         {"Created", image.config.created},
                         {"Author", image.config.author},
                         {"Os", image.config.platform.os},
                         {"Architecture", image.config.platform.architecture},
                         {"Variant", image.config.platform.variant},
                         {"Size", image.size},
                         {"Config", describe_image_config(image.config)},
                         {"RootFS", {{"Type", "layers"}, {"Layers", image.config.diff_ids}}},
                         {"Layers", layers},
                         {"History", describe_history(image.config)}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace);
}

// Machines that were saved with containers of these images go with them. Which of them those are is
// in no record, and they are made anew when they are needed.
Result<uint64_t> prune_machines(const Home& home) {
  const std::string& data = home.store.data_dir();
  const uint64_t freed = TRY(payload::microvm::prune_image_disks(data));
  if (freed == 0) return freed;
  return freed +
         TRY(payload::microvm::warm_templates(payload::microvm::vm_directory(data)).clear());
}

Result<std::set<std::string>> used_images(const Home& home) {
  std::set<std::string> used;
  for (const std::string& id : TRY(list_ids(home))) {
    const auto record = monitor::read_record(home.directories, id);
    if (record && !record->image_id.empty()) used.insert(record->image_id);
  }
  for (const std::string& name : TRY(list_pool_names(home))) {
    const auto pool = read_pool(home, name);
    if (pool && !pool->run.image.empty()) used.insert(pool->run.image);
  }
  return used;
}

Result<std::vector<std::string>> remove_image(const Home& home, std::string_view name, bool force) {
  auto report = TRY(home.store.remove(name, TRY(used_images(home)), force));
  TRY(prune_machines(home));
  return report;
}

Result<PruneResult> prune_images(const Home& home, bool all) {
  const std::set<std::string> used = TRY(used_images(home));
  auto pruned = TRY(home.store.prune(used, all));
  pruned.bytes += TRY(prune_machines(home));
  return PruneResult{.removed = std::move(pruned.images), .bytes = pruned.bytes};
}

}  // namespace trivet::runtime
