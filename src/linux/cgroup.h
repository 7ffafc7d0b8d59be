// Control groups: one container's place in them, on pure v2, pure v1 and hybrid hosts.
//
// The layout of the host is read once (`CgroupLayout::detect`). A Cgroup is a path below the
// mount points; it is named in the state of a container by `CgroupPaths` and can be opened again
// from there by a later process. All functions are safe to call from several processes at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/spec.h"

namespace trivet::cgroup {

enum class Mode { kV2, kV1, kHybrid };
[[nodiscard]] const char* mode_name(Mode mode);

// Whether a container has a v1 cpuset of its own from the beginning. With kWhenLimited it has none
// where that would be the same as what it inherits from its creator, as long as no limit asks for
// one: with the first cpuset and after the last one the kernel rewrites its own code, for which it
// interrupts every processor.
enum class Cpuset { kAlways, kWhenLimited };

enum class Driver { kCgroupfs, kSystemd, kDisabled };
// "cgroupfs", "systemd" or "disabled"; kInvalidArgument otherwise.
Result<Driver> parse_driver(std::string_view name);

// One mounted hierarchy: on v2 a single one; on v1 and hybrid hosts several.
struct Hierarchy {
  std::string mount_point;               // "/sys/fs/cgroup/memory"
  std::vector<std::string> controllers;  // {"memory"}; {"name=systemd"}; v2: cgroup.controllers
  bool v2 = false;
  // Where the calling process is, relative to the mount point: "/" or "/a/b".
  std::string own_path;
};

struct Layout {
  Mode mode = Mode::kV2;
  std::vector<Hierarchy> hierarchies;
  // From /proc/self/mountinfo and /proc/self/cgroup; mounts that are hidden under others are left
  // out. kUnsupported when no hierarchy is mounted. About 100 µs.
  static Result<Layout> detect();
};

// Tells whether a hierarchy of this kind is what one sees at a mount point (another file system may
// cover it).
using IsVisible = std::function<bool(const std::string& mount_point, bool v2)>;

// The pure part of detect(): the two texts to a layout. The controllers of a v2 hierarchy stay
// empty, they are in its cgroup.controllers.
Result<Layout> parse_layout(std::string_view mountinfo, std::string_view own_cgroups,
                            const IsVisible& is_visible);

// The scope of systemd that a container's cgroup belongs to.
struct Scope {
  std::string unit;      // "libpod-4711.scope"
  std::string slice;     // "user.slice"
  bool of_user = false;  // of the caller's service manager, not of the system's
};

// What identifies a container's cgroup: absolute directories, one for each hierarchy. Stored in
// the container's state.
struct Paths {
  Mode mode = Mode::kV2;
  std::vector<std::string> directories;
  // The directory of each controller ("memory"): of its v1 hierarchy, or the v2 directory. The key
  // "unified" is the v2 directory. On hybrid hosts that one is made (and then listed in
  // `directories`) only when a limit needs a controller of the v2 tree: making, joining and
  // removing it costs about 65 µs and allows nothing else.
  std::map<std::string, std::string> by_controller;
  std::optional<Scope> scope;  // with the systemd driver
};

struct Stats {
  uint64_t cpu_usage_ns = 0;
  uint64_t cpu_user_ns = 0;
  uint64_t cpu_system_ns = 0;
  uint64_t cpu_throttled_periods = 0;
  uint64_t cpu_periods = 0;
  uint64_t cpu_throttled_ns = 0;
  uint64_t memory_usage = 0;          // bytes, page cache included
  uint64_t memory_inactive_file = 0;  // bytes: usage minus this is what `stats` shows
  uint64_t memory_limit = 0;          // bytes; UINT64_MAX when unlimited
  uint64_t memory_peak = 0;
  uint64_t oom_kills = 0;
  uint64_t pids = 0;
  uint64_t pids_limit = 0;  // 0: unlimited
  uint64_t block_read_bytes = 0;
  uint64_t block_write_bytes = 0;
  std::map<std::string, uint64_t> memory_details;  // memory.stat as it is
};

// An ordinary user, or root merely of a user namespace: has what was delegated of the cgroups.
[[nodiscard]] bool is_ordinary_user();

struct Setting;  // cgroup_plan.h

// A container's cgroup that exists. Destroying the object removes nothing. Not for use by several
// threads at once.
class Cgroup {
 public:
  // Makes the cgroup in every hierarchy (on hybrid hosts: in every v1 hierarchy), a cpuset as
  // `cpuset` says. `cgroups_path` is linux.cgroupsPath: absolute paths are below the mount points;
  // relative ones are below the caller's own cgroup of each v1 hierarchy, on v2 beside it (a v2
  // cgroup that holds processes can't have children with controllers); empty means "/trivet-ID",
  // without a parent of its own, because making and removing one would double the cost, and
  // "trivet-ID" for an ordinary user, who may have been given a part of the tree; EACCES where that
  // is not so.
  // kAlreadyExists if it holds processes already. Undoes itself on failure. Missing parents are
  // made and marked by an extended attribute; remove() takes marked ones that are empty away again.
  //
  // With the systemd driver `cgroups_path` is SLICE:PREFIX:NAME (systemd_plan.h), and this only
  // decides where the cgroup will be: start_scope() makes it, because systemd starts no scope
  // without a process. Then is_scope() is true.
  static Result<Cgroup> create(const Layout& layout, const std::string& cgroups_path,
                               const std::string& id, Driver driver = Driver::kCgroupfs,
                               Cpuset cpuset = Cpuset::kAlways);
  // Removes what a create() with these arguments made if it was killed before anyone could note
  // what: directories without processes and subgroups. Others stay; missing ones are fine.
  static void remove_unused(const Layout& layout, const std::string& cgroups_path,
                            const std::string& id);
  // Attaches to one that was made earlier. Missing directories are fine: its container may be gone.
  static Cgroup attach(Paths paths);

  [[nodiscard]] const Paths& paths() const { return paths_; }

  [[nodiscard]] bool is_scope() const { return paths_.scope.has_value(); }
  // Has systemd start the scope around a process, which is in it afterwards, with the properties
  // that stand for the limits and those that annotations ask for ("org.systemd.property.NAME").
  // What systemd has no property for is left to apply_limits(). kAlreadyExists when a unit of that
  // name lives. On failure no scope is left.
  Result<> start_scope(pid_t first, const std::string& id, const oci::Resources& resources,
                       const std::map<std::string, std::string>& annotations);

  // Whether this process may bear children in the cgroup or move some there: an ordinary user has
  // to own what is above both places (cgroups(7), "Delegation containment").
  [[nodiscard]] bool is_in_reach() const;
  // Has systemd move a process in: the way where it is not in reach.
  Result<> attach_process(pid_t pid) const;

  // Gives the v2 cgroup to a user: the directory, and the files of /sys/kernel/cgroup/delegate, so
  // that the user can make groups below but not change the limits.
  Result<> delegate_to(uid_t uid) const;

  // An existing cgroup below this one ("app/worker"), for processes to join; this one itself for an
  // empty path. On v1 it is taken from the hierarchies that have it, at least one, and this
  // cgroup's own directory from the others. kNotFound, or kInvalidArgument for "..".
  Result<Cgroup> subgroup(const std::string& path) const;

  // Makes what create() has left out and these limits need, so that the first process can join it.
  Result<> prepare(const oci::Resources& resources);
  // Applies every limit of `resources`; absent ones stay as they are, and so do zeros where the
  // runtimes have always taken zero for "not set" (memory, cpu and block I/O). What the host can't
  // do is kUnsupported and names the field. Also used by `update`. Device rules: on v1
  // devices.allow and devices.deny, on v2 an eBPF program; a cgroup that this object has created
  // gets them even when there are none (nothing is allowed then but the devices every container
  // has), an attached one only when some are given. paths() may have grown afterwards.
  Result<> apply(const oci::Resources& resources);
  // The two halves of it, for whoever makes device nodes in between: rules may forbid mknod(2), and
  // on v1, where they are written one by one, they all do for a moment.
  Result<> apply_limits(const oci::Resources& resources);
  Result<> apply_devices(const std::vector<oci::DeviceRule>& rules) const;

  // Descriptors that the new init process writes "0" to in order to join: `tasks` of each v1
  // hierarchy (a single-threaded process joins through `tasks` without the global lock that
  // cgroup.procs may take), and cgroup.procs on v2. With v2_directory_fd() a v2 process is better
  // born there (CLONE_INTO_CGROUP).
  Result<std::vector<UniqueFd>> open_join_fds() const;
  // The v2 directory, or an invalid fd where there is none that is worth joining at clone.
  Result<UniqueFd> v2_directory_fd() const;
  // Moves another process in.
  Result<> add_process(pid_t pid) const;

  Result<std::vector<pid_t>> processes() const;  // of the whole subtree
  Result<Stats> stats() const;
  // Stats::oom_kills alone; 0 where there is no memory controller.
  Result<uint64_t> oom_kills() const;
  // Returns when everything in it stands still. On timeout it is thawed again: kTimeout.
  Result<> freeze(std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;
  Result<> thaw() const;
  Result<bool> is_frozen() const;
  // SIGKILL to everything in it (cgroup.kill on v2; otherwise frozen, killed, thawed, repeated
  // until it is empty or ten seconds have passed: kTimeout). Other signals go to each process once.
  Result<> kill_all(int signal = 9) const;
  // Kills what is left, waits until it is empty and removes the directories, subgroups too; a scope
  // is stopped.
  Result<> remove() const;
  // An eventfd-like descriptor that becomes readable when the OOM killer struck (v1: eventfd on
  // memory.oom_control; v2: inotify on memory.events). Invalid where there is no memory controller.
  // It also becomes readable when the cgroup goes and, on v2, at other memory events: what happened
  // is in Stats::oom_kills.
  Result<UniqueFd> watch_oom() const;
  // A descriptor that has POLLPRI when something in the cgroup has waited for memory for `stall` of
  // `window` (500 ms to 10 s), at most once a window, and POLLERR when the cgroup goes (Linux:
  // Documentation/accounting/psi.rst). kUnsupported on v1; ENOENT where the kernel has no
  // CONFIG_PSI.
  Result<UniqueFd> watch_memory_stalls(std::chrono::microseconds stall,
                                       std::chrono::microseconds window) const;

 private:
  explicit Cgroup(Paths paths) : paths_(std::move(paths)) {}

  static Result<Cgroup> name_scope(const Layout& layout, const std::string& cgroups_path,
                                   const std::string& id);
  // systemd takes an empty scope away by itself, but not from the hierarchies that it has no part
  // in.
  static void remove_unused_scope(const Layout& layout, const std::string& cgroups_path,
                                  const std::string& id);
  Result<> join_other_hierarchies(pid_t pid) const;
  Result<> set_scope_properties(const oci::Resources& resources) const;
  Result<> stop_scope() const;

  // The directory of a controller; empty when the host has none.
  [[nodiscard]] std::string directory_of(const std::string& controller) const;
  [[nodiscard]] std::vector<std::string> possible_directories() const;
  [[nodiscard]] Result<std::vector<Setting>> plan_limits(const oci::Resources& resources) const;
  Result<> require_controllers(const std::vector<Setting>& settings);
  Result<> move_processes(const std::string& directory) const;
  Result<> use_hierarchy(const std::string& key);
  Result<> require_controller(const std::string& controller, const std::string& field);

  Paths paths_;
  bool created_ = false;        // by this object: the device rules are the parent's still
  bool awaits_start_ = false;   // a scope that is only named yet
  std::string scope_subgroup_;  // of the scope, see subgroup()
};

}  // namespace trivet::cgroup
