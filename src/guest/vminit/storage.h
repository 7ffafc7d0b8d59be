// The container's files: its disks, the share, and what came with the request.
#pragma once

#include <optional>

#include "base/result.h"
#include "container/container.h"
#include "guest/messages.h"

namespace trivet::guest {

// Writes the inline files and mounts everything the request names. The overlay to make the root
// from; nothing where the configuration's root.path is it.
Result<std::optional<container::OverlayRoot>> prepare_storage(const CreateRequest& request);

// Writes back and unmounts, as far as nobody holds them any more.
void release_storage();

}  // namespace trivet::guest
