// Hooks (runtime-spec: config.md, "POSIX-platform Hooks").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::container {

// Runs each hook with `state` (JSON) on its stdin and waits for it; the first failure ends it. With
// `namespaces_pidfd` a hook runs in the namespaces of that process (all of `namespace_flags`),
// otherwise in ours. A hook that takes longer than its timeout is killed.
Result<> run_hooks(const char* kind, const std::vector<oci::Hook>& hooks, const std::string& state,
                   int namespaces_pidfd = -1, int namespace_flags = 0);

}  // namespace trivet::container
