#include <algorithm>
#include <array>
#include <string_view>
#include <sys/personality.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/plan.h"
#include "linux/bit_list.h"
#include "linux/capabilities.h"
#include "linux/seccomp.h"
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

namespace trivet::container {

namespace {

struct NamedNumber {
  std::string_view name;
  uint64_t number;
};

template <size_t N>
Result<uint64_t> look_up(const std::array<NamedNumber, N>& table, std::string_view name,
                         std::string_view field) {
  for (const NamedNumber& entry : table) {
    if (entry.name == name) return entry.number;
  }
  return fail(ErrorCode::kInvalidArgument, "{}: unknown value \"{}\"", field, name);
}

constexpr auto kRlimits = std::to_array<NamedNumber>({
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
});

constexpr auto kPolicies = std::to_array<NamedNumber>({
    {"SCHED_OTHER", 0},
    {"SCHED_FIFO", 1},
    {"SCHED_RR", 2},
    {"SCHED_BATCH", 3},
    {"SCHED_ISO", 4},
    {"SCHED_IDLE", 5},
    {"SCHED_DEADLINE", 6},
});

constexpr auto kSchedulerFlags = std::to_array<NamedNumber>({
    {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
    {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
    {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
    {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
});

// ioprio_set(2). Since 6.1.192 linux/ioprio.h is no C++: it names a parameter "class".
constexpr int kIoClassShift = 13;
constexpr auto kIoClasses = std::to_array<NamedNumber>({
    {"IOPRIO_CLASS_RT", 1},
    {"IOPRIO_CLASS_BE", 2},
    {"IOPRIO_CLASS_IDLE", 3},
});

Result<stage::SchedulerAttributes> plan_scheduler(const oci::Scheduler& scheduler) {
  stage::SchedulerAttributes attributes{};
  attributes.size = sizeof attributes;
  attributes.policy =
      static_cast<uint32_t>(TRY(look_up(kPolicies, scheduler.policy, "process.scheduler.policy")));
  for (const std::string& flag : scheduler.flags) {
    attributes.flags |= TRY(look_up(kSchedulerFlags, flag, "process.scheduler.flags"));
  }
  attributes.nice = scheduler.nice;
  attributes.priority = static_cast<uint32_t>(scheduler.priority);
  attributes.runtime = scheduler.runtime;
  attributes.deadline = scheduler.deadline;
  attributes.period = scheduler.period;
  return attributes;
}

Result<int> plan_io_priority(const oci::IoPriority& priority) {
  const uint64_t io_class = TRY(look_up(kIoClasses, priority.io_class, "process.ioPriority.class"));
  if (priority.priority < 0 || priority.priority > 7) {
    return fail(ErrorCode::kInvalidArgument, "process.ioPriority.priority: {} is not in 0 … 7",
                priority.priority);
  }
  return static_cast<int>((io_class << kIoClassShift) | static_cast<uint64_t>(priority.priority));
}

// A capability that can't be granted is a warning, not a failure (runtime-spec, config.md).
caps::Set grantable(const std::vector<std::string>& names, caps::Set available,
                    std::vector<std::string>& warnings) {
  const caps::Parsed parsed = caps::parse_set(names);
  for (const std::string& name : parsed.unknown) {
    warnings.push_back(
        fmt::format("capability {} is unknown to this kernel and is not granted", name));
  }
  for (int bit = 0; bit < 64; ++bit) {
    if (((parsed.set & ~available) >> bit & 1U) == 0) continue;
    std::string warning = fmt::format("capability {} is not granted: this process does not have it",
                                      caps::capability_name(bit));
    if (std::ranges::find(warnings, warning) == warnings.end())
      warnings.push_back(std::move(warning));
  }
  return parsed.set & available;
}

Result<caps::Set> available_capabilities(Powers powers) {
  if (powers == Powers::kAll) return ~caps::Set{0};
  const caps::Set permitted = TRY(caps::own_permitted_set());
  const caps::Set bounding = TRY(caps::own_bounding_set());
  return permitted & bounding;
}

Result<stage::CapabilitySets> plan_capabilities(const oci::Process& process, Powers powers,
                                                std::vector<std::string>& warnings) {
  stage::CapabilitySets sets{};
  if (!process.capabilities) return sets;
  const caps::Set available = TRY(available_capabilities(powers));
  const oci::Capabilities& wanted = *process.capabilities;
  sets.bounding = grantable(wanted.bounding, available, warnings);
  sets.permitted = grantable(wanted.permitted, available, warnings);
  sets.effective = grantable(wanted.effective, available, warnings) & sets.permitted;
  sets.inheritable = grantable(wanted.inheritable, available, warnings);
  sets.ambient = grantable(wanted.ambient, available, warnings) & sets.permitted & sets.inheritable;
  return sets;
}

Result<> plan_labels(const oci::Process& process, ProcessPlan& plan) {
  if (!process.apparmor_profile.empty() && process.apparmor_profile != "unconfined") {
    if (!exists("/sys/kernel/security/apparmor")) {
      return fail(ErrorCode::kUnsupported,
                  "process.apparmorProfile: \"{}\": AppArmor is not enabled on this host",
                  process.apparmor_profile);
    }
    plan.lsm_path = "self/attr/apparmor/exec";
    plan.lsm_label = "exec " + process.apparmor_profile;
  }
  if (!process.selinux_label.empty()) {
    if (!exists("/sys/fs/selinux/status")) {
      return fail(ErrorCode::kUnsupported,
                  "process.selinuxLabel: \"{}\": SELinux is not enabled on this host",
                  process.selinux_label);
    }
    if (!plan.lsm_label.empty()) {
      return fail(ErrorCode::kInvalidArgument,
                  "process.apparmorProfile and process.selinuxLabel exclude each other");
    }
    plan.lsm_path = "self/attr/exec";
    plan.lsm_label = process.selinux_label;
  }
  return {};
}

// Docker names a group twice that is both asked for and in the image's /etc/group, and the kernel
// would keep both.
std::vector<uint32_t> each_once(std::vector<uint32_t> groups) {
  std::ranges::sort(groups);
  const auto repeated = std::ranges::unique(groups);
  groups.erase(repeated.begin(), repeated.end());
  return groups;
}

constexpr auto kMemoryModes = std::to_array<NamedNumber>({
    {"MPOL_DEFAULT", MPOL_DEFAULT},
    {"MPOL_PREFERRED", MPOL_PREFERRED},
    {"MPOL_BIND", MPOL_BIND},
    {"MPOL_INTERLEAVE", MPOL_INTERLEAVE},
    {"MPOL_LOCAL", MPOL_LOCAL},
    {"MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY},
    {"MPOL_WEIGHTED_INTERLEAVE", MPOL_PREFERRED_MANY + 1},  // Linux 6.9
});

constexpr auto kMemoryFlags = std::to_array<NamedNumber>({
    {"MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES},
    {"MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES},
    {"MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING},
});

Result<> plan_cpu_affinity(const oci::CpuAffinity& affinity, ProcessPlan& plan) {
  if (!affinity.initial.empty()) {
    plan.initial_cpus = TRY_IN(parse_bit_list(affinity.initial), "process.execCPUAffinity.initial");
  }
  if (!affinity.final_cpus.empty()) {
    plan.final_cpus = TRY_IN(parse_bit_list(affinity.final_cpus), "process.execCPUAffinity.final");
  }
  return {};
}

Result<> plan_memory_policy(const oci::MemoryPolicy& policy, ProcessPlan& plan) {
  uint64_t mode = TRY(look_up(kMemoryModes, policy.mode, "linux.memoryPolicy.mode"));
  for (const std::string& flag : policy.flags) {
    mode |= TRY(look_up(kMemoryFlags, flag, "linux.memoryPolicy.flags"));
  }
  plan.memory_policy = static_cast<uint32_t>(mode);
  if (!policy.nodes.empty()) {
    plan.memory_nodes = TRY_IN(parse_bit_list(policy.nodes), "linux.memoryPolicy.nodes");
  }
  return {};
}

bool notifies(const oci::Seccomp& seccomp, std::string_view call) {
  return std::ranges::any_of(seccomp.syscalls, [call](const oci::SeccompRule& rule) {
    return rule.action == "SCMP_ACT_NOTIFY" &&
           std::ranges::find(rule.names, call) != rule.names.end();
  });
}

// The call that hands the listener over can't be one that waits for the listener's answer. Whatever
// comes after it may be.
Result<> plan_listener(const oci::Seccomp& seccomp, ProcessPlan& plan) {
  if (seccomp.listener_path.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "linux.seccomp: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath");
  }
  plan.seccomp_listener = true;
  plan.sends_by_sendmmsg = notifies(seccomp, "sendmsg");
  if (!plan.sends_by_sendmmsg || !notifies(seccomp, "sendmmsg")) return {};
  return fail(ErrorCode::kUnsupported,
              "linux.seccomp: SCMP_ACT_NOTIFY can't be the action of both \"sendmsg\" and "
              "\"sendmmsg\", one of which hands the listener over");
}

}  // namespace

void plan_program(const Program* program, ProcessPlan& plan) {
  if (program == nullptr) return;
  plan.program_fd = program->file.get();
  for (const UniqueFd& fd : program->descriptors) plan.handed_fds.push_back(fd.get());
  plan.env.insert(plan.env.end(), program->env.begin(), program->env.end());
}

Result<> plan_linux_process(const oci::Linux& config, ProcessPlan& plan) {
  if (config.personality) {
    plan.personality = config.personality->domain == "LINUX32" ? PER_LINUX32 : PER_LINUX;
  }
  if (config.memory_policy) TRY(plan_memory_policy(*config.memory_policy, plan));
  return {};
}

void use_seccomp(const seccomp::Program& program, ProcessPlan& plan) {
  plan.seccomp = program.instructions;
  plan.seccomp_flags = program.flags;
  if (program.wants_listener) return;
  plan.seccomp_flags &= ~static_cast<uint32_t>(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}

Result<> plan_seccomp(const oci::Seccomp& seccomp, const std::string& cache, ProcessPlan& plan) {
  const auto program = TRY_IN(seccomp::compile_cached(seccomp, cache), "linux.seccomp");
  use_seccomp(program, plan);
  if (!program.wants_listener) return {};
  TRY(plan_listener(seccomp, plan));
  // With a listener the kernel takes TSYNC only in a newer form, and the init has one thread.
  plan.seccomp_flags &= ~static_cast<uint32_t>(SECCOMP_FILTER_FLAG_TSYNC);
  plan.seccomp_flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  return {};
}

Powers powers_in(const oci::Linux& config) {
  const bool own = config.find_namespace(oci::NamespaceType::kUser) != nullptr;
  return own ? Powers::kAll : Powers::kOwn;
}

Result<ProcessPlan> plan_process(const oci::Process& process, Powers powers,
                                 std::vector<std::string>& warnings) {
  ProcessPlan plan;
  plan.args = process.args;
  plan.env = process.env;
  plan.cwd = process.cwd;
  plan.uid = process.user.uid;
  plan.gid = process.user.gid;
  plan.groups = each_once(process.user.additional_gids);
  plan.umask = process.user.umask;
  plan.no_new_privileges = process.no_new_privileges;
  plan.terminal = process.terminal;
  plan.console_size = process.console_size;
  plan.oom_score_adj = process.oom_score_adj;
  plan.capabilities = TRY(plan_capabilities(process, powers, warnings));
  for (const oci::Rlimit& limit : process.rlimits) {
    const uint64_t resource = TRY(look_up(kRlimits, limit.type, "process.rlimits"));
    plan.rlimits.push_back(
        {.resource = static_cast<int>(resource), .soft = limit.soft, .hard = limit.hard});
  }
  if (process.scheduler) plan.scheduler = TRY(plan_scheduler(*process.scheduler));
  if (process.io_priority) plan.io_priority = TRY(plan_io_priority(*process.io_priority));
  if (process.exec_cpu_affinity) TRY(plan_cpu_affinity(*process.exec_cpu_affinity, plan));
  TRY(plan_labels(process, plan));
  return plan;
}

bool has_no_further_groups(const ProcessPlan& plan) {
  return std::ranges::all_of(plan.groups, [&](uint32_t group) { return group == plan.gid; });
}

}  // namespace trivet::container
