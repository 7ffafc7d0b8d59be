// Limits, devices, namespaces and sysctls of a container.
#include <algorithm>
#include <array>

#include "cdi/names.h"
#include "payload/choose.h"
#include "runtime/plan.h"

namespace trivet::runtime {

namespace {

oci::DeviceRule allow(char type, std::optional<int64_t> major, std::optional<int64_t> minor,
                      const char* access) {
  return {.allow = true, .type = type, .major = major, .minor = minor, .access = access};
}

// Nothing but the devices every container has, terminals, and making nodes.
std::vector<oci::DeviceRule> default_rules() {
  std::vector<oci::DeviceRule> rules = {oci::DeviceRule{},
                                        allow('c', std::nullopt, std::nullopt, "m"),
                                        allow('b', std::nullopt, std::nullopt, "m")};
  for (const int64_t minor : {3, 5, 7, 8, 9}) rules.push_back(allow('c', 1, minor, "rwm"));
  for (const int64_t minor : {0, 1, 2}) rules.push_back(allow('c', 5, minor, "rwm"));
  rules.push_back(allow('c', 136, std::nullopt, "rwm"));
  return rules;
}

struct DeviceOption {
  std::string host;
  std::string container;
  std::string access = "rwm";
};

bool is_access(std::string_view text) {
  return !text.empty() && text.find_first_not_of("rwm") == std::string_view::npos;
}

Result<DeviceOption> parse_device(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  DeviceOption device{.host = parts.front(), .container = parts.front()};
  if (parts.size() == 2 && is_access(parts[1])) {
    device.access = parts[1];
  } else if (parts.size() >= 2) {
    device.container = parts[1];
  }
  if (parts.size() == 3) device.access = parts[2];
  if (parts.size() > 3 || !is_access(device.access)) {
    return fail(ErrorCode::kInvalidArgument, "--device {}: expected HOST[:CONTAINER][:rwm]", text);
  }
  device.host = TRY_IN(normal_path(device.host), "--device {}", text);
  device.container = TRY_IN(normal_path(device.container), "--device {}", text);
  return device;
}

Result<> add_device(const HostFacts& host, const std::string& text, oci::Linux& target) {
  const DeviceOption option = TRY(parse_device(text));
  for (oci::Device node : TRY_IN(host.devices_at(option.host), "--device {}", text)) {
    target.resources->devices.push_back(
        allow(node.type, node.major, node.minor, option.access.c_str()));
    // A directory of devices keeps its shape below the new place.
    node.path = option.container + node.path.substr(option.host.size());
    target.devices.push_back(std::move(node));
  }
  return {};
}

Result<> plan_devices(const PlanInput& input, oci::Linux& target) {
  if (input.options.privileged) {
    target.resources->devices = {allow('a', std::nullopt, std::nullopt, "rwm")};
    // A machine's are those of its guest, which knows them.
    if (input.options.isolation == payload::isolation_name(payload::Isolation::kMicrovm)) return {};
    target.devices = TRY_IN(input.host.devices_at("/dev"), "--privileged");
    return {};
  }
  target.resources->devices = default_rules();
  for (const std::string& text : input.options.devices) {
    if (!cdi::is_cdi_name(text)) TRY(add_device(input.host, text, target));
  }
  return {};
}

Result<> plan_memory(const PlanInput& input, oci::Resources& resources) {
  const RunOptions& options = input.options;
  if (!options.memory && !options.memory_swap && !options.memory_reservation &&
      !options.oom_kill_disable) {
    return {};
  }
  oci::MemoryResources& memory = resources.memory.emplace();
  if (options.memory && *options.memory < (512 << 10)) {
    return fail(ErrorCode::kInvalidArgument, "--memory {}: at least 512k are needed",
                *options.memory);
  }
  memory.limit = options.memory;
  memory.reservation = options.memory_reservation;
  if (options.memory_swap) {
    if (!options.memory) {
      return fail(ErrorCode::kInvalidArgument, "--memory-swap needs --memory");
    }
    if (*options.memory_swap != -1 && *options.memory_swap < *options.memory) {
      return fail(ErrorCode::kInvalidArgument,
                  "--memory-swap {} is less than --memory {}: it is memory plus swap",
                  *options.memory_swap, *options.memory);
    }
    memory.swap = options.memory_swap;
  } else if (options.memory && input.host.swap_accounting) {
    memory.swap = 2 * *options.memory;  // Docker's default
  }
  if (options.memory && options.memory_reservation &&
      *options.memory_reservation > *options.memory) {
    return fail(ErrorCode::kInvalidArgument, "--memory-reservation is over --memory");
  }
  if (options.oom_kill_disable) memory.disable_oom_killer = true;
  return {};
}

Result<> plan_cpu(const RunOptions& options, oci::Resources& resources) {
  if (!options.cpu_quota && !options.cpu_period && !options.cpu_shares &&
      options.cpuset_cpus.empty() && options.cpuset_mems.empty()) {
    return {};
  }
  oci::CpuResources& cpu = resources.cpu.emplace();
  if (options.cpu_quota && *options.cpu_quota != -1 && *options.cpu_quota < 1000) {
    return fail(ErrorCode::kInvalidArgument, "a cpu quota of {} µs: at least 1000 are needed",
                *options.cpu_quota);
  }
  if (options.cpu_period && (*options.cpu_period < 1000 || *options.cpu_period > 1000000)) {
    return fail(ErrorCode::kInvalidArgument, "a cpu period of {} µs: it is 1000 to 1000000",
                *options.cpu_period);
  }
  cpu.quota = options.cpu_quota;
  cpu.period = options.cpu_period;
  if (cpu.quota && !cpu.period) cpu.period = 100000;
  cpu.shares = options.cpu_shares;
  cpu.cpus = options.cpuset_cpus;
  cpu.mems = options.cpuset_mems;
  return {};
}

struct Sharing {
  bool host = false;
  std::string container;  // id
};

// --ipc and --uts: private or the host's.
Result<Sharing> parse_sharing(std::string_view flag, const std::string& mode) {
  if (mode.empty() || mode == "private") return Sharing{};
  if (mode == "host") return Sharing{.host = true, .container = {}};
  if (mode.starts_with("container:")) {
    // An ipc namespace alone is not enough: /dev/shm would have to be shared with it.
    return fail(ErrorCode::kUnsupported, "--{} {}: only --network and --pid can be joined", flag,
                mode);
  }
  return fail(ErrorCode::kInvalidArgument, "--{} {}: it is private or host", flag, mode);
}

Result<Sharing> parse_pid_sharing(const std::string& mode, const std::string& joined) {
  if (mode.starts_with("container:")) return Sharing{.host = false, .container = joined};
  return parse_sharing("pid", mode);
}

void add_namespace(oci::NamespaceType type, const Sharing& sharing, Plan& plan) {
  if (sharing.host) return;
  plan.spec.linux_config->namespaces.push_back({.type = type, .path = {}});
  if (!sharing.container.empty()) {
    plan.joins.push_back({.type = type, .container_id = sharing.container});
  }
}

// Those that are the infra container's get their paths when the container is started.
void plan_pod_namespaces(const PodShell& pod, const std::string& pid_mode, Plan& plan) {
  using enum oci::NamespaceType;
  for (const oci::NamespaceType type : {kIpc, kUts, kMount, kCgroup}) {
    add_namespace(type, {}, plan);
  }
  if (pid_mode != "host") add_namespace(kPid, {}, plan);
  if (pod.network != net::Mode::kHost) add_namespace(kNetwork, {}, plan);
}

// Which namespace a sysctl belongs to; nothing when it is the whole host's.
std::optional<oci::NamespaceType> sysctl_namespace(std::string_view name) {
  static constexpr std::array kIpc = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                      "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                      "kernel.shmmni", "kernel.shm_rmid_forced"};
  if (std::ranges::find(kIpc, name) != kIpc.end() || name.starts_with("fs.mqueue.")) {
    return oci::NamespaceType::kIpc;
  }
  if (name.starts_with("net.")) return oci::NamespaceType::kNetwork;
  if (name == "kernel.domainname") return oci::NamespaceType::kUts;
  return std::nullopt;
}

// One directory in each hierarchy, of which there may be ten: a common parent of our own would be
// made and removed with the first and the last container.
std::string cgroups_path(const PlanInput& input) {
  std::string parent = input.options.cgroup_parent;
  if (input.host.user_systemd && parent.empty()) return ":trivet:" + input.identity.id;
  if (parent.empty()) return "/trivet-" + input.identity.id;
  if (parent.front() != '/') parent.insert(0, "/");
  return fmt::format("{}/{}", parent, input.identity.id);
}

}  // namespace

Result<> plan_resources(const PlanInput& input, oci::Linux& target) {
  oci::Resources& resources = target.resources.emplace();
  TRY(plan_devices(input, target));
  TRY(plan_memory(input, resources));
  TRY(plan_cpu(input.options, resources));
  if (input.options.pids && *input.options.pids > 0) resources.pids_limit = input.options.pids;
  if (!input.options.cgroup_parent.empty()) {
    const std::string normal = TRY_IN(normal_path("/" + input.options.cgroup_parent),
                                      "--cgroup-parent {}", input.options.cgroup_parent);
    if (normal == "/") {
      return fail(ErrorCode::kInvalidArgument, "--cgroup-parent {}: it must be below the root",
                  input.options.cgroup_parent);
    }
  }
  target.cgroups_path = cgroups_path(input);
  if (target.cgroups_path.front() == '/')
    target.cgroups_path = TRY(normal_path(target.cgroups_path));
  return {};
}

Result<> plan_namespaces(const PlanInput& input, const net::Network& network, Plan& plan) {
  const RunOptions& options = input.options;
  using enum oci::NamespaceType;
  if (input.pod != nullptr) {
    plan_pod_namespaces(*input.pod, options.pid_mode, plan);
    return {};
  }
  add_namespace(kPid, TRY(parse_pid_sharing(options.pid_mode, input.joined.pid)), plan);
  add_namespace(kIpc, TRY(parse_sharing("ipc", options.ipc_mode)), plan);
  add_namespace(kUts, TRY(parse_sharing("uts", options.uts_mode)), plan);
  const Sharing net_sharing{
      .host = network.mode == net::Mode::kHost,
      .container = network.mode == net::Mode::kContainer ? input.joined.network : std::string()};
  add_namespace(kNetwork, net_sharing, plan);
  if (network.mode == net::Mode::kPath) {
    plan.spec.linux_config->namespaces.back().path = network.target;
  }
  add_namespace(kMount, {}, plan);
  add_namespace(kCgroup, {}, plan);
  return {};
}

Result<> plan_sysctls(const std::map<std::string, std::string>& sysctls, oci::Linux& target) {
  for (const auto& [raw, value] : sysctls) {
    std::string name = raw;
    std::ranges::replace(name, '/', '.');
    const auto needed = sysctl_namespace(name);
    if (!needed || name.find("..") != std::string::npos) {
      return std::unexpected(
          Error(ErrorCode::kInvalidArgument,
                fmt::format("--sysctl {}: it belongs to no namespace of a container", raw))
              .hint("net.*, fs.mqueue.* and the kernel.* of shared memory, semaphores and message "
                    "queues can be set"));
    }
    if (target.find_namespace(*needed) == nullptr) {
      return fail(ErrorCode::kInvalidArgument,
                  "--sysctl {}: the container shares its {} namespace with the host", raw,
                  oci::namespace_name(*needed));
    }
    target.sysctl[name] = value;
  }
  return {};
}

}  // namespace trivet::runtime
