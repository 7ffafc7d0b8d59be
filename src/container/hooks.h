// Hooks (runtime-spec: config.md, "POSIX-platform Hooks").
#pragma once

#include <functional>
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

// The hooks after the end. All of them run: one that fails is only a warning (runtime-spec:
// runtime.md, "Lifecycle", step 13). `on_warning` may be empty.
void run_poststop_hooks(const std::vector<oci::Hook>& hooks, const std::string& state,
                        const std::function<void(const std::string&)>& on_warning);

}  // namespace trivet::container
