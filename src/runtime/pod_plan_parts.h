// The parts of plan_pod(), each a pure function.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/pod_plan.h"

namespace trivet::runtime {

// What the parts need to know of the pod as a whole.
struct PodContext {
  const PodPlanInput& input;
  const manifest::Pod& pod;
  std::string name;       // of the pod: of the options, else of the manifest
  std::string uid;        // what metadata.uid says
  std::string isolation;  // "native", "wasm", "microvm"; empty: each container's program decides
};

// "FILE:LINE:COLUMN: FIELD: …" of kind kInvalidArgument.
[[nodiscard]] std::unexpected<Error> wrong_at(const manifest::Place& place, std::string_view what);

// The downward API: the value of a field of the pod, and of a container's limit or request.
[[nodiscard]] std::string pod_field(const PodContext& context, const std::string& path);
[[nodiscard]] std::string pod_resource(const PodContext& context, const manifest::ResourceRef& ref,
                                       const std::string& container);

// Variables in the order they are set, those of the same name replaced.
using Variables = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] Variables plan_variables(const PodContext& context,
                                       const manifest::Container& container);

// The volumes, paths of the host and memory volumes of the pod.
Result<> plan_pod_volumes(const PodContext& context, PodPlan& plan);
// The mounts of one container; what they need below a volume is added to the plan's volumes.
Result<std::vector<MountOption>> plan_pod_mounts(const PodContext& context,
                                                 const manifest::Container& container,
                                                 const Variables& variables, PodPlan& plan);

// A CPU's thousandths as a quota of microseconds in 100 ms, and as shares.
[[nodiscard]] int64_t cpu_quota_of(int64_t thousandths);
[[nodiscard]] uint64_t cpu_shares_of(int64_t thousandths);

// Puts how large a microVM may be into its annotations.
void limit_machines(const PodOptions& options, std::map<std::string, std::string>& annotations);

Result<PlannedContainer> plan_pod_container(const PodContext& context,
                                            const manifest::Container& container, PodPlan& plan);

}  // namespace trivet::runtime
