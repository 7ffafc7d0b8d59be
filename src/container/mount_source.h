// Sources of bind mounts that the runtime opens for an init that may not: idmapped ones
// (mount_setattr(2), MOUNT_ATTR_IDMAP; Linux 5.12), those of a container with a user namespace, and
// parts of directories that others may change.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/plan.h"

namespace trivet::container {

// A detached copy of plan.source, idmapped if the plan says so, which move_mount(2) attaches.
Result<UniqueFd> open_mount_source(const MountPlan& plan);

}  // namespace trivet::container
