// Starting a stage, and talking with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
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
  // In a user namespace the child becomes root of it before it executes the stage. With a new one
  // it waits for "go" before, which says that the id maps are written; an existing one is joined
  // before the clone, since it has to own the namespaces that are made there.
  bool new_user_namespace = false;
  int user_namespace = -1;
  // Namespaces to join before a new user namespace is made, which has no power over them.
  std::vector<stage::JoinOp> joined_before;
  int sync_fd = -1;         // the child's end, for the two
  int parent_sync_fd = -1;  // the other end, which the child closes
  std::string directory;    // with a new one: where the child starts
  bool block_signals = false;
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

// Puts the conversation and the listening socket into the places that a program has for them, where
// it has some; to be undone with its file in both once it was launched, or the end of the
// conversation would never be seen.
Result<> hand_over_conversation(const Program* program, int sync, int listener);

// The words of a payload's host that came with kPayloadFailed.
[[nodiscard]] Error read_payload_failure(const UniqueFd& words);

// "mount the root file system"
[[nodiscard]] std::string_view step_phrase(stage::Step step);

// The words for a failed step. `plan` and `plans` are what the stage was told.
[[nodiscard]] Error describe_failure(const stage::Message& message, const StagePlan& plan);

}  // namespace trivet::container
