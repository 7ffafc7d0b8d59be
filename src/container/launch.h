// Starting a stage, and talking with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/encode.h"
#include "container/stage/plan.h"

namespace trivet::container {

// The two ends of the conversation between parent and stage.
struct SyncPair {
  UniqueFd parent;
  UniqueFd child;
};
Result<SyncPair> make_sync_pair();

struct LaunchOptions {
  uint64_t clone_flags = 0;
  int cgroup_fd = -1;      // v2: born there
  int pid_namespace = -1;  // joined by the child only
  bool block_signals = false;
  // With CLONE_NEWUSER: the child's end of the conversation, where kGo tells that the id maps are
  // written. Only root of the namespace keeps its capabilities across exec (capabilities(7)).
  int id_maps_fd = -1;
  int parents_fd = -1;  // the other end, which only the parent may hold or its death goes unnoticed
  // With id_maps_fd, where the child starts; entered with the caller's ids, once they are written,
  // before it becomes root of a user namespace that may see less. Empty: the caller's directory.
  std::string directory;
};

struct StageProcess {
  pid_t pid = 0;
  UniqueFd pidfd;
};

// Clones a child and executes the stage in it with `blob`. `inherit` lists what the child keeps
// open besides 0, 1 and 2.
Result<StageProcess> launch_stage(const std::string& blob, const std::vector<int>& inherit,
                                  const LaunchOptions& options);

// What the stage said next; nothing at the end of the stream (it executed its program, or died).
// `fd` receives a descriptor that came along.
Result<std::optional<stage::Message>> receive_message(int sync_fd, UniqueFd* fd = nullptr);
Result<> send_go(int sync_fd);
Result<> send_keep(int sync_fd);

// "mount the root file system"
[[nodiscard]] std::string_view step_phrase(stage::Step step);

// The words for a failed step. `plan` and `plans` are what the stage was told.
[[nodiscard]] Error describe_failure(const stage::Message& message, const StagePlan& plan);

}  // namespace trivet::container
