// Plans to the blob that the stage maps.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "container/plan.h"
#include "container/stage/plan.h"

namespace trivet::container {

// The descriptors that the stage uses; numbers that are valid in the child.
struct StageFds {
  int sync = -1;
  int listener = -1;
  int root = -1;
  Stdio stdio;
  std::vector<int> cgroup;
  std::vector<stage::JoinOp> joins;
};

struct StagePlan {
  const NamespacePlan* namespaces = nullptr;  // null: exec
  const RootPlan* root = nullptr;             // null: exec
  const ProcessPlan* process = nullptr;
  bool pause_before_pivot = false;
  bool pause_before_exec = false;
  bool report_namespaces = false;
  bool await_cgroup = false;
  bool starts_in_root = false;  // its directory is the root: see LaunchOptions::directory
  bool report_times = false;
};

// The descriptors of the caller's that the program has: its streams, the preserved ones, its file
// and what is handed over.
void add_program_descriptors(const ProcessPlan& process, const Stdio& stdio,
                             std::vector<int>& inherit);

[[nodiscard]] std::string encode(const StagePlan& source, const StageFds& fds);

}  // namespace trivet::container
