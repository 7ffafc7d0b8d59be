// What will be done, as values: from a spec to a plan that can be printed and tested without
// privilege. encode.h turns it into the blob the stage obeys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "container/container.h"
#include "container/mount_options.h"
#include "container/stage/plan.h"
#include "linux/cgroup.h"
#include "oci/spec.h"
#include <linux/filter.h>

namespace trivet::container {

// The maps of an idmapped mount, as /proc/PID/uid_map takes them.
struct MountIdMap {
  std::string uid_map;
  std::string gid_map;
  bool recursive = false;  // ridmap
};

struct MountPlan {
  stage::MountKind kind = stage::MountKind::kFilesystem;
  std::string type;
  std::string source;
  std::string target;  // inside the root; for the root itself, on the host
  MountOptions options;
  std::optional<MountIdMap> id_map = std::nullopt;
  bool inherit_mode = false;  // a tmpfs without "mode=": that of the directory it covers
  int source_fd = -1;         // of an idmapped mount, once it is made
};

struct DevicePlan {
  std::string path;
  uint32_t mode = 0;  // with the type bits
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool bind = false;
};

struct SymlinkPlan {
  std::string target;
  std::string path;
};

// The file system of a new container.
struct RootPlan {
  MountPlan root;
  uint64_t propagation = 0;        // of "/" before
  uint64_t final_propagation = 0;  // of "/" after; 0: as it is
  bool readonly = false;
  bool no_pivot = false;
  bool joined_mounts = false;  // the mount namespace is another one's
  std::vector<MountPlan> mounts;
  std::vector<DevicePlan> devices;
  std::vector<SymlinkPlan> symlinks;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::vector<MountPlan> shown;  // see Program::shown
};

struct RlimitPlan {
  int resource = 0;
  uint64_t soft = 0;
  uint64_t hard = 0;
};

// Everything about the process itself, the same for a container's init and for exec.
struct ProcessPlan {
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  bool keep_groups = false;  // an ordinary user's namespace, where they can't be set
  std::optional<uint32_t> umask;
  stage::CapabilitySets capabilities{};
  std::vector<RlimitPlan> rlimits;
  bool no_new_privileges = false;
  bool terminal = false;
  std::optional<oci::ConsoleSize> console_size;
  bool new_keyring = false;
  std::string lsm_path;
  std::string lsm_label;
  std::optional<uint64_t> personality;
  std::optional<int> io_priority;
  std::optional<stage::SchedulerAttributes> scheduler;
  std::optional<int> oom_score_adj;    // set by the parent
  std::vector<uint64_t> initial_cpus;  // exec only: before and after it joins the cgroup
  std::vector<uint64_t> final_cpus;
  std::optional<uint32_t> memory_policy;  // mode and flags of set_mempolicy(2)
  std::vector<uint64_t> memory_nodes;
  std::vector<sock_filter> seccomp;
  uint32_t seccomp_flags = 0;
  bool seccomp_listener = false;
  bool sends_by_sendmmsg = false;  // since the filter asks the listener about sendmsg(2)
  uint32_t preserve_fds = 0;
  int program_fd = -1;          // executed instead of what args[0] names
  std::vector<int> handed_fds;  // what it gets besides
};

struct NamespacePlan {
  uint64_t clone_flags = 0;                             // new ones made by clone
  uint32_t unshare_flags = 0;                           // new ones the stage makes: cgroup, time
  std::vector<std::pair<std::string, uint32_t>> joins;  // path and CLONE_NEW*
  std::string pid_path;                                 // joined by the parent, before the clone
  bool user = false;                                    // a new one
  bool new_network = false;
  std::string uid_map;
  std::string gid_map;
  std::string hostname;
  std::string domainname;
  std::string timens_offsets;
  std::vector<std::pair<std::string, std::string>>
      sysctls;  // path below /proc ("sys/net/…"), value
};

// Whether this host has SELinux. Without it linux.mountLabel means nothing, and keeps nobody from
// anything: a label of files is no confinement of a process.
[[nodiscard]] bool has_selinux();

// Refuses, naming the field, what this engine can't do.
Result<> check_supported(const oci::Spec& spec);

// A namespace's CLONE_NEW* flag.
[[nodiscard]] uint32_t clone_flag(oci::NamespaceType type);

// "container host size" lines.
[[nodiscard]] std::string print_id_map(const std::vector<oci::IdMapping>& mappings);

Result<NamespacePlan> plan_namespaces(const oci::Spec& spec);

// Whether there is no group but the process's own, which it has anyway.
[[nodiscard]] bool has_no_further_groups(const ProcessPlan& plan);

// The user on the host that a container's cgroup is handed to, so that the program can make groups
// below its own: the one it runs as, where it has a cgroup namespace and a cgroup mount that can be
// written (runc does the same). Nothing for root of the host and for unmapped users.
[[nodiscard]] std::optional<uid_t> find_cgroup_owner(const oci::Spec& spec);

struct RootInputs {
  std::string bundle;
  std::optional<OverlayRoot> overlay;
  std::string overlay_mount_point;  // an empty directory on the host
  bool no_pivot = false;
  const cgroup::Paths* cgroup = nullptr;  // null: no cgroups
  // The creator is in a user namespace itself, where device nodes can only be bound.
  bool in_user_namespace = false;
  const Program* program = nullptr;
};
Result<RootPlan> plan_root(const oci::Spec& spec, const RootInputs& inputs);

// Root of a user namespace of its own has every capability there, whatever this process has.
enum class Powers { kOwn, kAll };
// Of a container with this configuration.
[[nodiscard]] Powers powers_in(const oci::Linux& config);

// `warnings` receives what could not be granted (capabilities this process lacks).
Result<ProcessPlan> plan_process(const oci::Process& process, Powers powers,
                                 std::vector<std::string>& warnings);

// What executes `program` instead; null changes nothing.
void plan_program(const Program* program, ProcessPlan& plan);

// linux.personality and linux.memoryPolicy.
Result<> plan_linux_process(const oci::Linux& config, ProcessPlan& plan);

// A compiled profile into the plan.
void use_seccomp(const seccomp::Program& program, ProcessPlan& plan);

// linux.seccomp into the plan; `cache` as CreateOptions::seccomp_cache.
Result<> plan_seccomp(const oci::Seccomp& seccomp, const std::string& cache, ProcessPlan& plan);

// One line an operation, for `--dry-run` and golden tests.
[[nodiscard]] std::string print_plan(const NamespacePlan& namespaces, const RootPlan& root,
                                     const ProcessPlan& process);

}  // namespace trivet::container
