// The options of a container as `inspect` shows them: Docker's names, so that its scripts work.
#include "base/json.h"
#include "cdi/names.h"
#include "runtime/plan.h"

namespace trivet::runtime {

namespace {

const char* docker_restart_name(RestartPolicy::Kind kind) {
  switch (kind) {
    case RestartPolicy::Kind::kNo:
      return "no";
    case RestartPolicy::Kind::kOnFailure:
      return "on-failure";
    case RestartPolicy::Kind::kAlways:
      return "always";
    case RestartPolicy::Kind::kUnlessStopped:
      return "unless-stopped";
  }
  return "no";
}

Json describe_ports(const std::vector<net::PortMapping>& ports) {
  Json bindings = Json::object();
  for (const net::PortMapping& port : ports) {
    bindings[fmt::format("{}/{}", port.container_port, port.protocol)].push_back(
        {{"HostIp", port.host_ip}, {"HostPort", std::to_string(port.host_port)}});
  }
  return bindings;
}

Json describe_ulimits(const std::vector<oci::Rlimit>& limits) {
  Json list = Json::array();
  for (const oci::Rlimit& limit : limits) {
    list.push_back({{"Name", limit.type}, {"Soft", limit.soft}, {"Hard", limit.hard}});
  }
  return list;
}

void describe_limits(const RunOptions& options, Json& host) {
  host["Memory"] = options.memory.value_or(0);
  host["MemorySwap"] = options.memory_swap.value_or(0);
  host["MemoryReservation"] = options.memory_reservation.value_or(0);
  host["PidsLimit"] = options.pids.value_or(0);
  host["CpuQuota"] = options.cpu_quota.value_or(0);
  host["CpuPeriod"] = options.cpu_period.value_or(0);
  host["CpuShares"] = options.cpu_shares.value_or(0);
  host["CpusetCpus"] = options.cpuset_cpus;
  host["CpusetMems"] = options.cpuset_mems;
  host["OomKillDisable"] = options.oom_kill_disable;
  host["OomScoreAdj"] = options.oom_score_adj.value_or(0);
  host["ShmSize"] = options.shm_size;
}

std::vector<std::string> host_devices(const RunOptions& options) {
  std::vector<std::string> devices = options.devices;
  std::erase_if(devices, cdi::is_cdi_name);
  return devices;
}

Json describe_device_requests(const RunOptions& options) {
  std::vector<std::string> names = options.devices;
  std::erase_if(names, [](const std::string& name) { return !cdi::is_cdi_name(name); });
  if (names.empty()) return Json::array();
  return Json::array({{{"Driver", "cdi"}, {"DeviceIDs", names}}});
}

Json describe_host_config(const PlanInput& input, const Plan& plan) {
  const RunOptions& options = input.options;
  Json host = {
      {"AutoRemove", options.remove},
      {"Binds", options.volumes},
      {"CapAdd", options.cap_add},
      {"CapDrop", options.cap_drop},
      {"CgroupParent", options.cgroup_parent},
      {"Devices", host_devices(options)},
      {"DeviceRequests", describe_device_requests(options)},
      {"Dns", options.dns},
      {"DnsOptions", options.dns_options},
      {"DnsSearch", options.dns_search},
      {"ExtraHosts", options.add_hosts},
      {"GroupAdd", options.groups},
      {"Init", options.init},
      {"IpcMode", options.ipc_mode},
      {"LogConfig", {{"MaxSize", options.log_max_size}, {"MaxFiles", options.log_max_files}}},
      {"NetworkMode", options.network},
      {"PidMode", options.pid_mode},
      {"PortBindings", describe_ports(plan.record.ports)},
      {"Privileged", options.privileged},
      {"ReadonlyRootfs", options.read_only},
      {"RestartPolicy",
       {{"Name", docker_restart_name(options.restart.kind)},
        {"MaximumRetryCount", options.restart.max_retries}}},
      {"SecurityOpt", options.security_opt},
      {"Sysctls", options.sysctls},
      {"Tmpfs", options.tmpfs},
      {"UTSMode", options.uts_mode},
      {"Ulimits", describe_ulimits(plan.spec.process->rlimits)},
  };
  describe_limits(options, host);
  return host;
}

Json describe_config(const PlanInput& input, const Plan& plan) {
  const RunOptions& options = input.options;
  const oci::Process& process = *plan.spec.process;
  return {
      {"Hostname", plan.hosts.hostname},
      {"User", options.user.empty() ? input.root.defaults.user : options.user},
      {"Tty", process.terminal},
      {"OpenStdin", options.interactive},
      {"Env", process.env},
      {"Entrypoint", options.entrypoint.value_or(input.root.defaults.entrypoint)},
      {"Cmd",
       options.command.empty() && !options.entrypoint ? input.root.defaults.cmd : options.command},
      {"Image", plan.record.image},
      {"WorkingDir", process.cwd},
      {"Labels", plan.record.labels},
      {"Annotations", plan.spec.annotations},
      {"StopSignal", signal_name(plan.record.stop_signal)},
      {"StopTimeout", plan.record.stop_timeout_ms / 1000},
  };
}

const char* kind_name(MountRequest::Kind kind) {
  switch (kind) {
    case MountRequest::Kind::kBind:
      return "bind";
    case MountRequest::Kind::kVolume:
      return "volume";
    case MountRequest::Kind::kTmpfs:
      return "tmpfs";
  }
  return "bind";
}

Json describe_mounts(const PlanInput& input, const Plan& plan) {
  Json list = Json::array();
  for (const MountRequest& request : plan.mounts) {
    Json entry = {{"Type", kind_name(request.kind)},
                  {"Destination", request.destination},
                  {"RW", !request.read_only},
                  {"Mode", join(request.options, ",")}};
    if (request.kind == MountRequest::Kind::kBind) entry["Source"] = request.source;
    if (request.kind == MountRequest::Kind::kVolume) {
      entry["Name"] = request.source;
      entry["Source"] = fmt::format("{}/volumes/{}/_data", input.directories.data, request.source);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json describe_joins(const std::vector<Join>& joins) {
  Json object = Json::object();
  for (const Join& join : joins) {
    object[std::string(oci::namespace_name(join.type))] = join.container_id;
  }
  return object;
}

}  // namespace

std::string describe_options(const PlanInput& input, const Plan& plan) {
  const Json document = {{"HostConfig", describe_host_config(input, plan)},
                         {"Config", describe_config(input, plan)},
                         {"Mounts", describe_mounts(input, plan)},
                         {"Joins", describe_joins(plan.joins)}};
  // Arguments and variables are bytes, not always UTF-8.
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace trivet::runtime
