#include "image/bundle.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "image/digest.h"
#include "image/unpack.h"
#include "image/wasm_layer.h"
#include "oci/user_lookup.h"
#include "oci/wasm_module.h"

namespace trivet::image {

namespace {

constexpr std::string_view kWasm = "wasm";
constexpr std::string_view kNative = "native";
constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool is_wasm_media_type(std::string_view type) {
  return type == "application/wasm" || type.starts_with("application/vnd.wasm.") ||
         type.starts_with("application/vnd.bytecodealliance.wasm.");
}

// What other runtimes' images say of themselves.
bool has_wasm_annotation(const std::map<std::string, std::string>& annotations) {
  return std::ranges::any_of(annotations, [](const auto& entry) {
    const auto& [key, value] = entry;
    return (key == "run.oci.handler" && value == "wasm") ||
           (key == "module.wasm.image/variant" && value == "compat");
  });
}

// The program that the image starts by itself.
std::string_view program_of(const oci::ImageConfig& config) {
  if (!config.entrypoint.empty()) return config.entrypoint.front();
  return config.cmd.empty() ? std::string_view{} : config.cmd.front();
}

// image-spec: conversion.md, Annotation Fields. An explicit label wins.
std::map<std::string, std::string> annotations_of(const oci::ImageConfig& config) {
  std::map<std::string, std::string> annotations = config.labels;
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty())
      annotations.try_emplace(std::string("org.opencontainers.image.") + key, value);
  };
  add("os", config.platform.os);
  add("architecture", config.platform.architecture);
  add("variant", config.platform.variant);
  add("author", config.author);
  add("created", config.created);
  add("stopSignal", config.stop_signal);
  add("exposedPorts", join(config.exposed_ports, ","));
  return annotations;
}

// --- writing a bundle

Result<> flatten(const Store& store, const Image& image, int rootfs_fd) {
  for (const LayerRef& layer : TRY(file_system_layers(image.manifest, image.config))) {
    const UniqueFd blob = TRY(store.open_blob(layer.blob.digest));
    if (is_wasm_module_layer(layer.blob.media_type)) {
      TRY_IN(copy_module(blob.get(), rootfs_fd, layer.blob.size), "layer {}",
             short_digest(layer.blob.digest));
      continue;
    }
    const Unpacked unpacked = TRY_IN(unpack_over(blob.get(), rootfs_fd, store.limits()), "layer {}",
                                     short_digest(layer.blob.digest));
    if (unpacked.diff_id != layer.diff_id) {
      return fail(ErrorCode::kDigestMismatch, "layer {} has digest {}, not {}",
                  short_digest(layer.blob.digest), unpacked.diff_id, layer.diff_id);
    }
  }
  return {};
}

Result<oci::Spec> bundle_spec(const Store& store, const Image& image) {
  const ImageDefaults defaults = image_defaults(image);
  oci::Spec spec = oci::default_spec(oci::SpecKind::kRoot);
  spec.root = oci::Root{.path = "rootfs"};
  spec.annotations = defaults.annotations;
  oci::Process& process = *spec.process;
  process.terminal = false;
  process.args = defaults.entrypoint;
  process.args.insert(process.args.end(), defaults.cmd.begin(), defaults.cmd.end());
  if (process.args.empty()) process.args = {"/bin/sh"};
  process.env = defaults.env;
  process.cwd = defaults.working_dir;
  std::string home;
  const auto layers = TRY(store.layer_directories(image));
  process.user = TRY(resolve_user(layers, defaults.user, &home));
  const auto has = [&](std::string_view key) {
    return std::ranges::any_of(process.env,
                               [&](const std::string& entry) { return entry.starts_with(key); });
  };
  if (!has("PATH=")) process.env.emplace_back(kDefaultPath);
  if (!has("HOME=")) process.env.push_back("HOME=" + home);
  return spec;
}

Result<> fill_bundle(const Store& store, const Image& image, int bundle_fd) {
  if (mkdirat(bundle_fd, "rootfs", 0755) != 0) return fail_errno("mkdir \"rootfs\"");
  const UniqueFd rootfs = TRY(open_at(bundle_fd, "rootfs", O_RDONLY | O_DIRECTORY));
  if (fchmod(rootfs.get(), 0755) != 0) return fail_errno("chmod \"rootfs\"");
  TRY(flatten(store, image, rootfs.get()));
  const oci::Spec spec = TRY(bundle_spec(store, image));
  return replace_file(bundle_fd, "config.json", oci::print_spec(spec, oci::JsonLayout::kIndented));
}

}  // namespace

ImageDefaults image_defaults(const Image& image) {
  const oci::ImageConfig& config = image.config;
  ImageDefaults defaults;
  defaults.entrypoint = config.entrypoint;
  defaults.cmd = config.cmd;
  const bool is_artifact = std::ranges::any_of(
      image.manifest.layers,
      [](const oci::Descriptor& layer) { return is_wasm_module_layer(layer.media_type); });
  if (is_artifact && config.entrypoint.empty() && config.cmd.empty()) {
    defaults.entrypoint = {fmt::format("/{}", kWasmModuleName)};
  }
  defaults.env = config.env;
  if (!config.working_dir.empty()) {
    // A relative one is meant from the root, as Docker takes it.
    defaults.working_dir =
        config.working_dir.starts_with('/') ? config.working_dir : "/" + config.working_dir;
  }
  defaults.user = config.user;
  defaults.stop_signal = config.stop_signal;
  defaults.volumes = config.volumes;
  defaults.exposed_ports = config.exposed_ports;
  defaults.annotations = annotations_of(config);
  return defaults;
}

bool demands_wasm(const Image& image) {
  const oci::Platform& platform = image.config.platform;
  const bool wasm_platform = platform.architecture == kWasm || platform.architecture == "wasm32" ||
                             platform.os.starts_with("wasi");
  const bool wasm_layers = std::ranges::any_of(
      image.manifest.layers,
      [](const oci::Descriptor& layer) { return is_wasm_media_type(layer.media_type); });
  return wasm_platform || wasm_layers || is_wasm_media_type(image.manifest.config.media_type) ||
         is_wasm_media_type(image.manifest.artifact_type) ||
         has_wasm_annotation(image.manifest.annotations) ||
         has_wasm_annotation(image.config.labels);
}

std::string image_payload(const Image& image) {
  const bool wasm = demands_wasm(image) || program_of(image.config).ends_with(".wasm");
  return std::string(wasm ? kWasm : kNative);
}

Result<std::string> image_payload(const Store& store, const Image& image) {
  std::string payload = image_payload(image);
  const std::string_view program = program_of(image.config);
  if (payload != kNative || program.find('/') == std::string_view::npos) return payload;
  const std::string path = program.starts_with('/')
                               ? std::string(program)
                               : image_defaults(image).working_dir + "/" + std::string(program);
  const auto fd = open_in_layers(TRY(store.layer_directories(image)), path);
  std::array<char, 4> magic{};
  if (fd && pread(fd->get(), magic.data(), magic.size(), 0) == ssize_t{magic.size()} &&
      oci::is_wasm({magic.data(), magic.size()})) {
    payload = kWasm;
  }
  return payload;
}

Result<> write_oci_bundle(const Store& store, const Image& image, const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) != 0) {
    return fail_errno("cannot write the bundle: mkdir \"{}\"", directory);
  }
  Rollback rollback;
  rollback.add([&directory] { return remove_tree(AT_FDCWD, directory); });
  const UniqueFd bundle = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  auto filled = fill_bundle(store, image, bundle.get());
  if (!filled) {
    return std::unexpected(rollback.fail(
        std::move(filled).error().in(fmt::format("cannot write the bundle \"{}\"", directory))));
  }
  rollback.commit();
  return {};
}

Result<oci::User> resolve_user(const std::vector<std::string>& layer_directories,
                               std::string_view user, std::string* home) {
  return oci::look_up_user(
      [&](const std::string& path) { return open_in_layers(layer_directories, path); }, user, home);
}

}  // namespace trivet::image
