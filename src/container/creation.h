// create(), step by step.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/rollback.h"
#include "container/checkpoint.h"
#include "container/container.h"
#include "container/launch.h"
#include "container/plan.h"

namespace trivet::container {

// One attempt to create a container. The steps run in the order of run(); each registers its undo.
class Creation {
 public:
  // With an image its processes are restored from there (restore.cc).
  Creation(const oci::Spec& spec, const CreateOptions& options,
           const CheckpointOptions* image = nullptr)
      : spec_(spec), options_(options), image_(image) {}
  Result<Container> run();
  // The plans in print.
  Result<std::string> dry_run();

 private:
  struct NamedStep {
    const char* name;
    Result<> (Creation::*run)();
  };
  Result<> steps();
  Result<> run_steps(std::span<const NamedStep> steps);

  Result<> check();
  Result<> claim();
  Result<> make_file(const char* name, std::string_view content) const;
  [[nodiscard]] bool asks_for_limits() const;
  [[nodiscard]] bool can_do_without_cgroup(const Error& error) const;
  [[nodiscard]] cgroup::Cpuset needed_cpuset() const;
  Result<> make_cgroup();
  Result<> make_plans();
  Result<> open_mount_sources(std::vector<MountPlan>& mounts, std::vector<int>& inherit);
  Result<> mount_root_here();  // when it has no mount namespace of its own
  // What the init begins with.
  struct Launch {
    StageFds fds;
    std::vector<int> inherit;
    LaunchOptions options;
    std::vector<UniqueFd> cgroup_fds = {};
    UniqueFd cgroup_directory = {};

    void join(const stage::JoinOp& namespace_fd) {
      fds.joins.push_back(namespace_fd);
      inherit.push_back(namespace_fd.fd);
    }
  };
  Result<> open_namespaces(Launch& launch);
  Result<> open_cgroup(Launch& launch);
  Result<> launch();
  Result<> start_scope();
  Result<> limit();  // while the stage goes on by itself
  Result<> join_resctrl();
  Result<> write_id_maps();
  Result<> follow();  // the stage's reports, until it is ready
  Result<> restrict_devices();
  Result<> set_up_network();
  Result<> handle(const stage::Message& message, UniqueFd received);
  Result<> note_ready();
  Result<> run_create_hooks();
  Result<> deliver_console(UniqueFd master);
  Result<> publish();  // state and pid file

  Result<> restore_init();
  Result<> adopt_restored(pid_t pid);
  Result<> handle_notification(const criu::Answer& notification, UniqueFd received);

  [[nodiscard]] Error init_died() const;

  const oci::Spec& spec_;
  const CreateOptions& options_;
  const CheckpointOptions* image_;
  Rollback rollback_;

  std::string directory_;
  Container::Record record_;
  std::optional<cgroup::Cgroup> cgroup_;
  NamespacePlan namespaces_;
  RootPlan root_;
  ProcessPlan process_;
  StagePlan stage_plan_;
  std::vector<UniqueFd> namespace_fds_;
  std::vector<UniqueFd> mount_sources_;
  UniqueFd pid_namespace_;
  UniqueFd mounted_root_;
  SyncPair sync_;
  StageProcess init_;
  UniqueFd console_;
  bool ready_ = false;
  bool program_begun_ = false;  // one with a beginning of its own: see Program::Conversation
  bool devices_restricted_ = false;
  bool hooks_begun_ = false;
};

// The state as hooks and `state` see it.
[[nodiscard]] oci::State make_state(const Container::Record& record, Status status);

// The same for hooks in the container's namespaces: with the pid that the init has there.
[[nodiscard]] oci::State as_seen_inside(oci::State state);

[[nodiscard]] StepTime step_time(const stage::Message& message);

// "HOME=…" from the root's /etc/passwd, or "HOME=/", unless `env` has one.
void add_home(int root_fd, uint32_t uid, std::vector<std::string>& env);

// CLONE_NEW* of everything a container has to itself or shares with another, for setns(2) with the
// pidfd of its init.
[[nodiscard]] int namespace_flags(const oci::Spec& spec);

}  // namespace trivet::container
