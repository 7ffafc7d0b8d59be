#include "runtime/options_json.h"

#include <array>

namespace trivet::runtime {

namespace {

constexpr std::array kRestartKinds{"no", "on-failure", "always", "unless-stopped"};

// The one list of the options' members: for printing, parsing and comparing.
template <typename Options, typename Field>
void for_each_field(Options& options, Field&& field) {
  field("image", options.image);
  field("rootfs", options.rootfs);
  field("rootfsWrite", options.rootfs_write);
  field("command", options.command);
  field("entrypoint", options.entrypoint);
  field("name", options.name);
  field("hostname", options.hostname);
  field("terminal", options.terminal);
  field("interactive", options.interactive);
  field("detach", options.detach);
  field("remove", options.remove);
  field("init", options.init);
  field("env", options.env);
  field("envFiles", options.env_files);
  field("labels", options.labels);
  field("annotations", options.annotations);
  field("workdir", options.workdir);
  field("user", options.user);
  field("groups", options.groups);
  field("volumes", options.volumes);
  field("mounts", options.mounts);
  field("tmpfs", options.tmpfs);
  field("readOnly", options.read_only);
  field("shmSize", options.shm_size);
  field("network", options.network);
  field("publish", options.publish);
  field("dns", options.dns);
  field("dnsSearch", options.dns_search);
  field("dnsOptions", options.dns_options);
  field("addHosts", options.add_hosts);
  field("memory", options.memory);
  field("memorySwap", options.memory_swap);
  field("memoryReservation", options.memory_reservation);
  field("pids", options.pids);
  field("cpuQuota", options.cpu_quota);
  field("cpuPeriod", options.cpu_period);
  field("cpuShares", options.cpu_shares);
  field("cpusetCpus", options.cpuset_cpus);
  field("cpusetMems", options.cpuset_mems);
  field("ulimits", options.ulimits);
  field("oomScoreAdj", options.oom_score_adj);
  field("oomKillDisable", options.oom_kill_disable);
  field("capAdd", options.cap_add);
  field("capDrop", options.cap_drop);
  field("privileged", options.privileged);
  field("securityOpt", options.security_opt);
  field("devices", options.devices);
  field("cdiSpecDirs", options.cdi_spec_dirs);
  field("sysctls", options.sysctls);
  field("pidMode", options.pid_mode);
  field("ipcMode", options.ipc_mode);
  field("utsMode", options.uts_mode);
  field("cgroupParent", options.cgroup_parent);
  field("isolation", options.isolation);
  field("experimental", options.experimental);
  field("vmm", options.vmm);
  field("accelerator", options.accelerator);
  field("noTemplate", options.no_template);
  field("diskSize", options.disk_size);
  field("invoke", options.invoke);
  field("fuel", options.fuel);
  field("restart", options.restart);
  field("stopSignal", options.stop_signal);
  field("stopTimeoutS", options.stop_timeout);
  field("timeoutMs", options.timeout);
  field("logMaxSize", options.log_max_size);
  field("logMaxFiles", options.log_max_files);
  field("pull", options.pull);
}

template <typename T>
Json print(const T& value) {
  return Json(value);
}

template <typename Rep, typename Period>
Json print(const std::chrono::duration<Rep, Period>& value) {
  return value.count();
}

template <typename T>
Json print(const std::optional<T>& value) {
  return value ? print(*value) : Json();
}

Json print(const RestartPolicy& value) {
  return {{"kind", kRestartKinds.at(static_cast<size_t>(value.kind))},
          {"maxRetries", value.max_retries}};
}

Json print(const std::vector<MountOption>& mounts) {
  Json list = Json::array();
  for (const MountOption& mount : mounts) {
    list.push_back({{"type", mount.type},
                    {"source", mount.source},
                    {"destination", mount.destination},
                    {"options", mount.options},
                    {"subPath", mount.sub_path}});
  }
  return list;
}

template <typename T>
Result<> parse(const JsonView& json, const char* key, T& value) {
  return json.read(key, value);
}

Result<> parse(const JsonView& json, const char* key, std::map<std::string, std::string>& value) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  for (const auto& [name, text] : TRY(member->members())) value[name] = TRY(text.as_string());
  return {};
}

Result<> parse(const JsonView& json, const char* key, std::chrono::seconds& value) {
  int64_t count = value.count();
  TRY(json.read(key, count));
  value = std::chrono::seconds(count);
  return {};
}

Result<> parse(const JsonView& json, const char* key,
               std::optional<std::chrono::milliseconds>& value) {
  std::optional<int64_t> count;
  TRY(json.read(key, count));
  if (count) value = std::chrono::milliseconds(*count);
  return {};
}

Result<> parse(const JsonView& json, const char* key, RestartPolicy& value) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  std::string kind;
  TRY(member->read("kind", kind));
  TRY(member->read("maxRetries", value.max_retries));
  for (size_t i = 0; i < kRestartKinds.size(); ++i) {
    if (kind != kRestartKinds.at(i)) continue;
    value.kind = static_cast<RestartPolicy::Kind>(i);
    return {};
  }
  return member->wrong("a restart policy");
}

Result<> parse(const JsonView& json, const char* key, std::vector<MountOption>& value) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  for (const JsonView& entry : TRY(member->elements())) {
    MountOption& mount = value.emplace_back();
    TRY(entry.read("type", mount.type));
    TRY(entry.read("source", mount.source));
    TRY(entry.read("destination", mount.destination));
    TRY(entry.read("options", mount.options));
    TRY(entry.read("subPath", mount.sub_path));
  }
  return {};
}

}  // namespace

Json options_to_json(const RunOptions& options) {
  Json json = Json::object();
  for_each_field(options, [&](const char* key, const auto& value) { json[key] = print(value); });
  Json defaults = Json::object();
  const RunOptions standard;
  for_each_field(standard, [&](const char* key, const auto& v) { defaults[key] = print(v); });
  for (const auto& [key, value] : defaults.items()) {
    if (json[key] == value) json.erase(key);
  }
  return json;
}

Result<RunOptions> options_from_json(const JsonView& json) {
  RunOptions options;
  Result<> done;
  for_each_field(options, [&](const char* key, auto& value) {
    if (done) done = parse(json, key, value);
  });
  if (!done) return std::unexpected(std::move(done).error());
  return options;
}

}  // namespace trivet::runtime
