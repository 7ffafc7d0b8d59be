// Looks into the root file system of a container that does not run.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"

namespace trivet::container {

// The overlay's root as a directory descriptor of a mount that is in no namespace: nobody else sees
// it, and it goes when the descriptor is closed. An empty upper directory gives a read-only view.
// Not for a container that runs: two mounts of one upper directory are undefined.
Result<UniqueFd> open_overlay(const OverlayRoot& overlay);

// A discarded overlay leaves a mark in its work directory, with which the kernel refuses to mount
// it again: after a crash of the machine its content is anybody's guess. Here that would have
// removed the whole container; what comes back without one is as it was left.
Result<> allow_again(const OverlayRoot& overlay);

}  // namespace trivet::container
