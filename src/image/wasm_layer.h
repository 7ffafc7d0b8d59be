// A Wasm module as a layer, and as an image of its own.
#pragma once

#include <string>

#include "base/result.h"
#include "image/store.h"

namespace trivet::image {

// oci::kLayerCodeDirectory of a layer that has a module.
Result<> make_code_directory(int layer_fd);

// Puts a module, as it is, into the root of a file system.
Result<> copy_module(int blob_fd, int root_fd, uint64_t limit);

// The image of one module's file, WebAssembly or its text format, with platform wasi/wasm: the file
// in the root under its own name, which is the entrypoint. One that is there already is taken;
// by which file it was made is remembered in modules/ of the data directory.
Result<Image> import_module(const Store& store, const std::string& path);

}  // namespace trivet::image
