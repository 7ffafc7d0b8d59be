// What the parent tells the stage, and what the stage answers.
//
// The stage is a tiny freestanding program: no libc, no allocation, no formatting, no decisions. It
// is executed from a sealed memfd in the cloned child, maps one blob that holds everything below,
// and carries out numbered steps. It reports {step, errno, operand}; the parent has the words. No
// file of the host is ever the executable of a process inside a container, so none can be reached
// through /proc/self/exe (the class of CVE-2019-5736).
//
// Layout of the blob: a Plan at offset 0; everything else is referred to by offsets from its start.
#pragma once

#include <stdint.h>

namespace trivet::stage {

inline constexpr uint32_t kMagic = 0x74726976;

// A NUL-terminated string in the blob; 0 is "none".
struct Text {
  uint32_t offset;
};

template <typename T>
struct Span {
  uint32_t offset;
  uint32_t count;
};

// One fsconfig(2) parameter: a flag when it has no value.
struct FsOption {
  Text key;
  Text value;
};

enum class MountKind : uint32_t {
  kFilesystem,  // fsopen, fsconfig…, fsmount
  kBind,        // open_tree of `source`
  kRemount,     // change attributes of what is mounted at `target`
};

struct MountOp {
  MountKind kind;
  uint32_t recursive;  // kBind: with everything mounted below
  uint32_t copy_up;    // kFilesystem: fill the new file system from what it covers (tmpcopyup)
  uint32_t optional_source;  // a missing source is skipped
  Text type;
  Text source;
  Text target;  // inside the root
  Span<FsOption> options;
  uint64_t attr_set;  // MOUNT_ATTR_* for mount_setattr(2)
  uint64_t attr_clear;
  uint64_t recursive_attr_set;  // the same with AT_RECURSIVE
  uint64_t recursive_attr_clear;
  uint64_t propagation;  // MS_SHARED … or 0
  uint32_t propagation_recursive;
  int32_t source_fd;      // kBind: a detached mount that the parent made (idmapped); -1: `source`
  uint32_t inherit_mode;  // the new root gets the permissions of the directory it covers
  uint32_t padding;
};

struct DeviceOp {
  Text path;      // inside the root
  uint32_t mode;  // type and permissions
  uint32_t major;
  uint32_t minor;
  uint32_t uid;
  uint32_t gid;
  uint32_t bind;  // bind the host's node instead of making one (user namespaces)
};

struct SymlinkOp {
  Text target;
  Text path;  // inside the root
};

struct SysctlOp {
  Text path;  // below /proc, "sys/net/ipv4/ip_forward"
  Text value;
};

struct JoinOp {
  int32_t fd;
  uint32_t type;  // CLONE_NEW*; several with a pidfd
};

struct RlimitOp {
  uint32_t resource;
  uint32_t padding;
  uint64_t soft;
  uint64_t hard;
};

struct CapabilitySets {
  uint64_t bounding;
  uint64_t effective;
  uint64_t permitted;
  uint64_t inheritable;
  uint64_t ambient;
};

enum PlanFlags : uint32_t {
  kLoopbackUp = 1U << 1U,  // a new network namespace
  kSetsid = 1U << 2U,
  kSetRoot = 1U << 3U,  // mounts and pivot_root: a new container, not an exec
  kNoPivot = 1U << 4U,
  kReadonlyRoot = 1U << 5U,
  kTerminal = 1U << 6U,
  kNewKeyring = 1U << 7U,
  kNoNewPrivileges = 1U << 8U,
  kSetCapabilities = 1U << 9U,
  kPauseBeforePivot = 1U << 10U,  // createRuntime and createContainer hooks run now
  kPauseBeforeExec = 1U << 11U,   // wait for start
  kHasUmask = 1U << 12U,
  kHasConsoleSize = 1U << 13U,
  kHasScheduler = 1U << 14U,
  kHasIoPriority = 1U << 15U,
  kHasPersonality = 1U << 16U,
  kHasSeccomp = 1U << 17U,
  kReportNamespaces = 1U << 18U,  // tell the parent when the namespaces are ready
  kSetGroups = 1U << 19U,
  kHasMemoryPolicy = 1U << 20U,
  kHasListener = 1U << 21U,  // the seccomp filter's notifications go to somebody: send them the fd
  kJoinedMounts = 1U << 0U,  // the mount namespace is somebody else's: enter the root by chroot
  kSendsBySendmmsg = 1U << 23U,  // the filter's listener is asked about sendmsg
  kAwaitCgroup = 1U << 24U,      // the parent has this process moved into its cgroup, then says kGo
  kReportTimes = 1U << 22U,      // tell after each step how long it took
};

struct SchedulerAttributes {  // struct sched_attr of sched_setattr(2)
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

struct Plan {
  uint32_t magic;
  uint32_t size;  // of the blob
  uint32_t flags;
  uint32_t unshare;  // CLONE_NEW* made by the stage itself: cgroup, time
  int32_t sync_fd;
  int32_t listen_fd;  // -1: only the parent can start it
  int32_t root_fd;    // a root that is mounted already, to be entered by chroot; -1: none
  int32_t stdio[3];
  int32_t program_fd;  // executed instead of what argv[0] names; -1: none
  uint32_t preserve_fds;
  Span<int32_t> handed_fds;  // stay open in the program, with their numbers
  uint32_t umask;
  Span<uint64_t> initial_cpus;  // masks for sched_setaffinity(2), before and after the cgroup
  Span<uint64_t> final_cpus;
  Span<int32_t> cgroup_fds;  // write "0" to join
  Span<JoinOp> joins;
  Text hostname;
  Text domainname;
  Span<SysctlOp> sysctls;
  Text timens_offsets;

  // The root file system
  MountOp root;               // `target` is the absolute mount point on the host
  uint64_t root_propagation;  // MS_* for "/" before anything is mounted
  uint64_t final_root_propagation;
  Span<MountOp> mounts;
  Span<DeviceOp> devices;
  Span<SymlinkOp> symlinks;
  Span<Text> masked_paths;
  Span<Text> readonly_paths;
  // Seen by whoever joins the mount namespace, but not by the program: the first one covers the
  // root, and the targets of the others are in it.
  Span<MountOp> shown;

  // The process
  Text cwd;
  Text lsm_path;  // below /proc, "self/attr/exec"
  Text lsm_label;
  uint32_t uid;
  uint32_t gid;
  Span<uint32_t> groups;
  CapabilitySets capabilities;
  Span<RlimitOp> rlimits;
  uint64_t personality;
  Span<uint64_t> memory_nodes;
  uint32_t memory_policy;  // the mode and flags of set_mempolicy(2)
  int32_t io_priority;
  uint32_t seccomp_flags;
  Span<uint64_t> seccomp;  // struct sock_filter
  SchedulerAttributes scheduler;
  uint32_t console_rows;
  uint32_t console_columns;
  // Pointers to argv and envp: offsets in the blob, made addresses by the stage; 0-terminated.
  Span<uint64_t> argv;
  Span<uint64_t> envp;
  // The directories of PATH and scratch space for PATH_MAX bytes.
  Span<Text> search_path;
  uint32_t scratch;
};

// What the stage does, in this order. The names are in steps.cc of the parent.
enum class Step : uint32_t {
  kNone,
  kMapPlan,
  kJoinNamespaces,
  kBecomeRoot,  // before the stage is executed, see launch.cc
  kInitialCpus,
  kJoinCgroup,
  kFinalCpus,
  kUnshare,
  kSession,
  kLoopback,
  kHostname,
  kDomainname,
  kRootPropagation,
  kMountRoot,
  kMount,
  kDevice,
  kSymlink,
  kConsole,
  kSysctl,
  kMaskPath,
  kReadonlyPath,
  kShow,
  kPauseBeforePivot,
  kPivotRoot,
  kReadonlyRoot,
  kFinalPropagation,
  kKeyring,
  kStdio,
  kScheduler,
  kIoPriority,
  kPersonality,
  kMemoryPolicy,
  kRlimit,
  kLsmLabel,
  kBoundingSet,
  kGroups,
  kUser,
  kCapabilities,
  kCwd,
  kFindProgram,
  kPauseBeforeExec,
  kNoNewPrivileges,
  kSeccomp,
  kCloseDescriptors,
  kExec,
};

// Which call inside a step failed, where a step makes several.
enum class Call : uint32_t {
  kNone,
  kOpenTarget,
  kMakeTarget,
  kOpenSource,
  kFsopen,
  kFsconfig,
  kFsmount,
  kMountSetattr,
  kMoveMount,
  kCopyUp,
  kMknod,
  kChown,
  kWrite,
  kCheck,
  kOpenPty,
};

enum class MessageKind : uint32_t {
  kError,          // stage → parent: step, error, operand, call
  kNamespaces,     // stage → parent: they exist, and the loopback device is up
  kBeforePivot,    // stage → parent: waits for kGo
  kConsole,        // stage → parent, with the pty's master as SCM_RIGHTS
  kListener,       // stage → parent, with the seccomp listener as SCM_RIGHTS; waits for kGo
  kStepDone,       // stage → parent: `operand` microseconds were spent on `step`
  kReady,          // stage → parent: waits for kGo
  kGo,             // parent → stage
  kKeep,           // parent → stage, after kReady: outlive me, somebody else may start you
  kPayloadFailed,  // the payload's host → parent, with the words (JSON of an Error) in a memfd
};

struct Message {
  MessageKind kind;
  Step step;
  int32_t error;
  uint32_t operand;
  Call call;
};

}  // namespace trivet::stage
