// The "process" object (runtime-spec config.md, POSIX process and Linux process).
#include <algorithm>

#include "oci/spec_names.h"
#include "oci/spec_parse.h"

namespace trivet::oci {

namespace {

Result<User> read_user(const Field& field) {
  User user;
  TRY(field.read("uid", user.uid));
  TRY(field.read("gid", user.gid));
  TRY(field.read("umask", user.umask));
  TRY(field.read("additionalGids", user.additional_gids));
  if (user.umask && *user.umask > 0777) {
    return field.at("umask").invalid("{} is out of range: 0 to 511 (0777)", *user.umask);
  }
  return user;
}

Result<ConsoleSize> read_console_size(const Field& field) {
  ConsoleSize size;
  TRY(field.read("height", size.height));
  TRY(field.read("width", size.width));
  return size;
}

// Names the kernel doesn't know stay: such a capability can't be granted, which is worth a warning
// of the one who applies them and no failure (config.md, capabilities).
Result<Capabilities> read_capabilities(const Field& field) {
  Capabilities sets;
  TRY(field.read("bounding", sets.bounding));
  TRY(field.read("effective", sets.effective));
  TRY(field.read("inheritable", sets.inheritable));
  TRY(field.read("permitted", sets.permitted));
  TRY(field.read("ambient", sets.ambient));
  return sets;
}

Result<Rlimit> read_rlimit(const Field& field) {
  Rlimit rlimit;
  TRY(field.read_required("type", rlimit.type));
  TRY(check_known(field.at("type"), rlimit.type, known_rlimits()));
  TRY(field.read_required("hard", rlimit.hard));
  TRY(field.read_required("soft", rlimit.soft));
  if (rlimit.soft > rlimit.hard) {
    return field.at("soft").invalid("{} is above the hard limit {}", rlimit.soft, rlimit.hard);
  }
  return rlimit;
}

Result<> check_rlimits(const Field& process, const std::vector<Rlimit>& rlimits) {
  for (size_t i = 0; i < rlimits.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (rlimits[i].type != rlimits[j].type) continue;
      return process.at("rlimits").invalid("{} is given twice", rlimits[i].type);
    }
  }
  return {};
}

// sched_setattr(2), with the rules of runc's validator.
Result<> check_scheduler(const Field& field, const Scheduler& scheduler) {
  const std::string_view policy = scheduler.policy;
  if (scheduler.nice < -20 || scheduler.nice > 19) {
    return field.at("nice").invalid("{} is out of range: -20 to 19", scheduler.nice);
  }
  const bool is_realtime = policy == "SCHED_FIFO" || policy == "SCHED_RR";
  if (scheduler.priority != 0 && !is_realtime) {
    return field.at("priority").invalid("only SCHED_FIFO and SCHED_RR have one, not {}", policy);
  }
  if (scheduler.priority < 0 || scheduler.priority > 99) {
    return field.at("priority").invalid("{} is out of range: 0 to 99", scheduler.priority);
  }
  const bool has_deadline =
      scheduler.runtime != 0 || scheduler.deadline != 0 || scheduler.period != 0;
  if (has_deadline && policy != "SCHED_DEADLINE") {
    return field.invalid("only SCHED_DEADLINE has runtime, deadline and period, not {}", policy);
  }
  return {};
}

Result<Scheduler> read_scheduler(const Field& field) {
  Scheduler scheduler;
  TRY(field.read_required("policy", scheduler.policy));
  TRY(check_known(field.at("policy"), scheduler.policy, known_scheduler_policies()));
  TRY(field.read("nice", scheduler.nice));
  TRY(field.read("priority", scheduler.priority));
  TRY(field.read("flags", scheduler.flags));
  for (const std::string& flag : scheduler.flags) {
    TRY(check_known(field.at("flags"), flag, known_scheduler_flags()));
  }
  TRY(field.read("runtime", scheduler.runtime));
  TRY(field.read("deadline", scheduler.deadline));
  TRY(field.read("period", scheduler.period));
  TRY(check_scheduler(field, scheduler));
  return scheduler;
}

Result<IoPriority> read_io_priority(const Field& field) {
  IoPriority priority;
  TRY(field.read_required("class", priority.io_class));
  TRY(check_known(field.at("class"), priority.io_class, known_io_classes()));
  TRY(field.read("priority", priority.priority));
  if (priority.priority < 0 || priority.priority > 7) {
    return field.at("priority").invalid("{} is out of range: 0 to 7", priority.priority);
  }
  return priority;
}

// "0-3,7": the list format of the kernel, without its rarer forms.
bool is_cpu_list(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || c == '-' || c == ',' || c == ' '; });
}

Result<CpuAffinity> read_cpu_affinity(const Field& field) {
  CpuAffinity affinity;
  TRY(field.read("initial", affinity.initial));
  TRY(field.read("final", affinity.final_cpus));
  if (!is_cpu_list(affinity.initial)) {
    return field.at("initial").invalid("\"{}\" is no list of CPUs", affinity.initial);
  }
  if (!is_cpu_list(affinity.final_cpus)) {
    return field.at("final").invalid("\"{}\" is no list of CPUs", affinity.final_cpus);
  }
  return affinity;
}

Result<> read_command(const Field& field, Process& process) {
  TRY(field.read("args", process.args));
  if (process.args.empty()) return field.at("args").invalid("must not be empty");
  TRY(read_env(field, "env", process.env));
  TRY(field.read_required("cwd", process.cwd));
  return check_absolute(field.at("cwd"), process.cwd);
}

Result<> read_oom_score(const Field& field, std::optional<int>& out) {
  TRY(field.read("oomScoreAdj", out));
  if (out && (*out < -1000 || *out > 1000)) {
    return field.at("oomScoreAdj").invalid("{} is out of range: -1000 to 1000", *out);
  }
  return {};
}

}  // namespace

Result<Process> read_process(const Field& field) {
  Process process;
  TRY(field.read("terminal", process.terminal));
  TRY(field.read("consoleSize", process.console_size, read_console_size));
  if (const Field user = TRY(field.find("user"))) process.user = TRY(read_user(user));
  TRY(read_command(field, process));
  TRY(field.read("capabilities", process.capabilities, read_capabilities));
  TRY(field.read("rlimits", process.rlimits, read_rlimit));
  TRY(check_rlimits(field, process.rlimits));
  TRY(field.read("noNewPrivileges", process.no_new_privileges));
  TRY(field.read("apparmorProfile", process.apparmor_profile));
  TRY(field.read("selinuxLabel", process.selinux_label));
  TRY(read_oom_score(field, process.oom_score_adj));
  TRY(field.read("scheduler", process.scheduler, read_scheduler));
  TRY(field.read("ioPriority", process.io_priority, read_io_priority));
  TRY(field.read("execCPUAffinity", process.exec_cpu_affinity, read_cpu_affinity));
  return process;
}

}  // namespace trivet::oci
