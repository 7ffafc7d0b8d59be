// The root of a module that writes nothing: image layers without a writable one.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "container/container.h"
#include "oci/spec.h"

namespace trivet::payload::wasm {

// A writable layer costs a module that can't write twice: the kernel makes and syncs it, and
// somebody has to remove it. All that the shell writes there are the places which it mounts on.
// They are in `places`, a directory made when it is missing and shared by all containers, which
// becomes the lowest layer. Nothing when that does not do: the container mounts elsewhere too, or
// the image has something of its own where the places are; the writable layer serves then as for
// any container.
Result<std::optional<container::OverlayRoot>> plan_read_only_root(
    const container::OverlayRoot& root, const oci::Spec& spec, const std::string& places);

}  // namespace trivet::payload::wasm
