// Pods: from a manifest to a supervisor that holds it, and what can be asked of it then.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/home.h"
#include "trivet/pod.h"

namespace trivet::runtime {

Result<PodInfo> run_pod(const Home& home, const std::string& manifest, const PodOptions& options);
Result<> stop_pod(const Home& home, const std::string& id,
                  std::optional<std::chrono::milliseconds> grace);
Result<> delete_pod(const Home& home, const std::string& id, bool force);
Result<int> wait_pod(const Home& home, const std::string& id,
                     std::optional<std::chrono::milliseconds> timeout);

// By name, id or a unique prefix of an id.
Result<std::string> find_pod(const Home& home, std::string_view name);
Result<PodInfo> describe_pod(const Home& home, const std::string& id);
// Newest first.
Result<std::vector<PodInfo>> list_pods(const Home& home);
// The document of `trivet pod inspect`.
Result<std::string> inspect_pod(const Home& home, const std::string& id);
// See Engine::pod_container().
Result<std::string> find_pod_container(const Home& home, const std::string& id,
                                       std::string_view container);

}  // namespace trivet::runtime
