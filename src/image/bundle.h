// From an image to what a payload runs (image-spec: conversion.md).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/store.h"
#include "oci/spec.h"

namespace trivet::image {

// What the image's config says, before a user's options.
struct ImageDefaults {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;
  std::string working_dir = "/";
  std::string user;  // "", "uid", "name:group", …
  std::string stop_signal;
  std::vector<std::string> volumes;
  std::vector<std::string> exposed_ports;
  std::map<std::string, std::string> annotations;  // org.opencontainers.image.*
};
[[nodiscard]] ImageDefaults image_defaults(const Image& image);

// "user[:group]" by number or by name, looked up in etc/passwd and etc/group of the layers
// (topmost first): uid, gid and the additional groups, as Docker does it: a user without a group
// gets the one of etc/passwd and every group that lists him; with a group there are no further
// ones. The user's own group is always the first of the additional ones (CVE-2022-36109).
// "" is root. An unknown name is kInvalidArgument. `home` (may be null) receives the home directory
// ("/" if unknown).
Result<oci::User> resolve_user(const std::vector<std::string>& layer_directories,
                               std::string_view user, std::string* home);

// Whether all that an image has to run is Wasm, whatever program it is: platform wasi/wasm, Wasm
// media types, run.oci.handler=wasm or module.wasm.image/variant=compat as annotation or label.
[[nodiscard]] bool demands_wasm(const Image& image);

// Which payload an image is for: "wasm" when it demands it or its entrypoint ends in ".wasm", else
// "native".
[[nodiscard]] std::string image_payload(const Image& image);
// The same, and looks into the entrypoint's file as well: "\0asm" is a Wasm module.
Result<std::string> image_payload(const Store& store, const Image& image);

// The file that a container of these layers (topmost first) would see under `path`, with symbolic
// links across layers, whiteouts and opaque directories: opened for reading. kNotFound when there
// is none, or when it is no regular file.
Result<UniqueFd> open_in_layers(const std::vector<std::string>& layer_directories,
                                std::string_view path);

// Writes a native OCI runtime bundle: rootfs/ (a copy of the flattened layers) and config.json with
// the image's defaults. `directory` is made; it must not exist. All or nothing.
Result<> write_oci_bundle(const Store& store, const Image& image, const std::string& directory);

}  // namespace trivet::image
