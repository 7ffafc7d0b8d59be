// The root of a container without a mount namespace of its own: a mount in ours.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// What is below a directory, mounts included, as a mount of its own that is attached nowhere yet.
struct DetachedRoot {
  UniqueFd fd;
  uint64_t id = 0;  // statx(2): stx_mnt_id
};
Result<DetachedRoot> clone_root(const std::string& directory);

// Puts it over the directory, where it neither sends mounts to other namespaces nor receives them.
Result<> attach_root(const DetachedRoot& root, const std::string& directory);

// Takes it away with all that was mounted below. Does nothing if something else is mounted there.
Result<> detach_root(const std::string& directory, uint64_t id);

}  // namespace trivet
