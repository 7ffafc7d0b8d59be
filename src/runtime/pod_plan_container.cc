// One container of a pod: its variables, and its options as `trivet run` would have them.
#include <algorithm>
#include <map>

#include "manifest/expand.h"
#include "monitor/vm_network.h"
#include "runtime/pod_plan_parts.h"

namespace trivet::runtime {

namespace {

using manifest::Container;
using manifest::EnvVar;

constexpr int64_t kLeastMemory = 512 << 10;  // of a container
// A seccompProfile of the type Localhost is below it, in Kubernetes and Podman as here.
constexpr const char* kSeccompRoot = "/var/lib/kubelet/seccomp/";

const manifest::Data* find_data(const PodContext& context, bool secret, const std::string& name) {
  const auto& all = secret ? context.input.manifest.secrets : context.input.manifest.config_maps;
  const auto found = all.find(name);
  return found == all.end() ? nullptr : &found->second;
}

void set_variable(Variables& variables, const std::string& name, std::string value) {
  for (auto& [known, old] : variables) {
    if (known != name) continue;
    old = std::move(value);
    return;
  }
  variables.emplace_back(name, std::move(value));
}

manifest::Lookup lookup_in(const Variables& variables) {
  return [&variables](const std::string& name) -> std::optional<std::string> {
    for (const auto& [known, value] : variables) {
      if (known == name) return value;
    }
    return std::nullopt;
  };
}

// Nothing: an optional key that is not there.
std::optional<std::string> value_of(const PodContext& context, const Container& container,
                                    const EnvVar& variable, const Variables& earlier) {
  switch (variable.from) {
    case EnvVar::From::kValue:
      return manifest::expand(variable.value, lookup_in(earlier));
    case EnvVar::From::kField:
      return pod_field(context, variable.value);
    case EnvVar::From::kResource:
      return pod_resource(context, variable.resource, container.name);
    case EnvVar::From::kConfigMap:
    case EnvVar::From::kSecret:
      break;
  }
  const manifest::Data* data =
      find_data(context, variable.from == EnvVar::From::kSecret, variable.key.name);
  if (data == nullptr) return std::nullopt;
  const auto found = data->entries.find(variable.key.key);
  if (found == data->entries.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> expand_all(const std::vector<std::string>& words,
                                    const Variables& variables) {
  std::vector<std::string> expanded;
  for (const std::string& word : words) {
    expanded.push_back(manifest::expand(word, lookup_in(variables)));
  }
  return expanded;
}

RestartPolicy restart_of(const PodContext& context, manifest::Role role) {
  using Kind = RestartPolicy::Kind;
  const manifest::RestartPolicy policy = context.pod.restart;
  if (role == manifest::Role::kSidecar) return {.kind = Kind::kAlways};
  if (policy == manifest::RestartPolicy::kNever) return {.kind = Kind::kNo};
  // An init container that has ended well is never started again.
  const bool always = policy == manifest::RestartPolicy::kAlways && role == manifest::Role::kMain;
  return {.kind = always ? Kind::kAlways : Kind::kOnFailure};
}

void plan_program(const Container& container, const Variables& variables, RunOptions& options) {
  // command stands for ENTRYPOINT and leaves nothing of CMD; args stands for CMD.
  if (!container.command.empty()) options.entrypoint = expand_all(container.command, variables);
  options.command = expand_all(container.args, variables);
  options.workdir = container.working_dir;
  options.terminal = container.tty;
  options.interactive = container.stdin_open;
  for (const auto& [name, value] : variables) {
    options.env.push_back(fmt::format("{}={}", name, value));
  }
}

// How many devices of a kind the containers have that run beside one of this role. What init
// containers had is free again.
size_t devices_taken(const PodPlan& plan, const std::string& kind, manifest::Role role) {
  size_t taken = 0;
  for (size_t i = 0; role != manifest::Role::kInit && i < plan.containers.size(); ++i) {
    if (plan.record.containers[i].role == pod::Role::kInit) continue;
    taken += static_cast<size_t>(std::ranges::count_if(
        plan.containers[i].options.devices,
        [&](const std::string& device) { return device.starts_with(kind + "="); }));
  }
  return taken;
}

// As CDI devices that are named by number, which is how vendors name them: nvidia.com/gpu=0.
void plan_devices(const Container& container, const PodPlan& plan, RunOptions& options) {
  for (const auto& [kind, count] : container.resources.devices) {
    const size_t first = devices_taken(plan, kind, container.role);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      options.devices.push_back(fmt::format("{}={}", kind, first + i));
    }
  }
}

Result<> plan_limits(const Container& container, RunOptions& options) {
  const manifest::Resources& resources = container.resources;
  if (resources.memory_limit && *resources.memory_limit < kLeastMemory) {
    return wrong_at(container.place,
                    fmt::format("a memory limit of {} bytes: at least 512Ki are needed",
                                *resources.memory_limit));
  }
  options.memory = resources.memory_limit;
  options.memory_reservation = resources.memory_request;
  options.pids = resources.pids_limit;
  if (resources.cpu_limit) {
    options.cpu_quota = cpu_quota_of(*resources.cpu_limit);
    options.cpu_period = 100000;
  }
  if (resources.cpu_request) options.cpu_shares = cpu_shares_of(*resources.cpu_request);
  return {};
}

void plan_user(const PodContext& context, const Container& container, PlannedContainer& planned) {
  const manifest::ContainerSecurity& own = container.security;
  const manifest::PodSecurity& shared = context.pod.security;
  const auto user = own.run_as_user ? own.run_as_user : shared.run_as_user;
  const auto group = own.run_as_group ? own.run_as_group : shared.run_as_group;
  if (user) planned.options.user = fmt::format("{}", *user);
  if (user && group) planned.options.user += fmt::format(":{}", *group);
  for (const uint32_t id : shared.supplemental_groups) {
    planned.options.groups.push_back(fmt::format("{}", id));
  }
  if (shared.fs_group) planned.options.groups.push_back(fmt::format("{}", *shared.fs_group));
  planned.must_not_be_root = own.run_as_non_root.value_or(shared.run_as_non_root.value_or(false));
}

void plan_security_options(const PodContext& context, const Container& container,
                           RunOptions& options) {
  using Kind = manifest::Profile::Kind;
  const manifest::ContainerSecurity& own = container.security;
  options.privileged = own.privileged;
  options.read_only = own.read_only_root;
  options.cap_add = own.cap_add;
  options.cap_drop = own.cap_drop;
  if (!own.allow_privilege_escalation) options.security_opt.emplace_back("no-new-privileges");
  const auto& seccomp = own.seccomp ? own.seccomp : context.pod.security.seccomp;
  if (seccomp && seccomp->kind == Kind::kUnconfined) {
    options.security_opt.emplace_back("seccomp=unconfined");
  } else if (seccomp && seccomp->kind == Kind::kLocalhost) {
    const bool absolute = seccomp->name.starts_with('/');
    options.security_opt.push_back(
        fmt::format("seccomp={}{}", absolute ? "" : kSeccompRoot, seccomp->name));
  }
  const auto& apparmor = own.apparmor ? own.apparmor : context.pod.security.apparmor;
  if (apparmor && apparmor->kind == Kind::kUnconfined) {
    options.security_opt.emplace_back("apparmor=unconfined");
  } else if (apparmor && apparmor->kind == Kind::kLocalhost) {
    options.security_opt.push_back("apparmor=" + apparmor->name);
  }
}

// What is said of the pod is not a container's own business.
bool is_for_pod(std::string_view key) {
  return key.starts_with("dev.trivet.isolation") || key.starts_with("dev.trivet.extension") ||
         key.starts_with("kubectl.kubernetes.io/");
}

void plan_metadata(const PodContext& context, const Container& container, RunOptions& options) {
  options.name = fmt::format("{}-{}", context.name, container.name);
  options.labels = context.pod.labels;
  // As the kubelet labels a container.
  options.labels["io.kubernetes.container.name"] = container.name;
  options.labels["io.kubernetes.pod.name"] = context.name;
  options.labels["io.kubernetes.pod.namespace"] = context.pod.name_space;
  options.labels["io.kubernetes.pod.uid"] = context.uid;
  for (const auto& [key, value] : context.pod.annotations) {
    if (!is_for_pod(key)) options.annotations[key] = value;
  }
  limit_machines(context.input.options, options.annotations);
}

// What a machine listens on has to be known: the ports that the manifest names.
std::vector<net::PortMapping> machine_ports(const Container& container) {
  std::vector<net::PortMapping> ports;
  for (const manifest::Port& port : container.ports) {
    net::PortMapping mapping{.host_ip = {},
                             .host_port = port.container_port,
                             .container_port = port.container_port,
                             .protocol = port.protocol};
    if (std::ranges::find(ports, mapping) == ports.end()) ports.push_back(std::move(mapping));
  }
  return ports;
}

void plan_engine(const PodContext& context, const Container& container, RunOptions& options) {
  const PodOptions& asked = context.input.options;
  options.detach = true;
  options.image = container.image;
  options.pull = !asked.pull.empty()             ? asked.pull
                 : container.pull_policy.empty() ? "missing"
                                                 : container.pull_policy;
  options.transfer = asked.transfer;
  options.on_warning = asked.on_warning;
  options.experimental = asked.experimental;
  const bool own = asked.isolation.empty() && !container.isolation.empty();
  options.isolation = own ? container.isolation : context.isolation;
  if (options.isolation == "microvm" && context.isolation != "microvm") {
    options.annotations[monitor::kMachinePortsAnnotation] =
        monitor::print_machine_ports(machine_ports(container));
    options.sysctls = context.pod.security.sysctls;  // of a kernel of its own
  }
  if (context.pod.host_network) options.network = "host";
  if (context.pod.host_pid) options.pid_mode = "host";
  options.restart = restart_of(context, container.role);
  options.stop_signal = container.stop_signal;
  options.stop_timeout = std::chrono::seconds(context.pod.grace_seconds);
}

}  // namespace

std::string pod_field(const PodContext& context, const std::string& path) {
  const manifest::Pod& pod = context.pod;
  const auto keyed = [&](std::string_view prefix,
                         const std::map<std::string, std::string>& all) -> std::string {
    const std::string key = path.substr(prefix.size(), path.size() - prefix.size() - 2);
    const auto found = all.find(key);
    return found == all.end() ? "" : found->second;
  };
  constexpr std::string_view kLabel = "metadata.labels['";
  constexpr std::string_view kAnnotation = "metadata.annotations['";
  if (path.starts_with(kLabel)) return keyed(kLabel, pod.labels);
  if (path.starts_with(kAnnotation)) return keyed(kAnnotation, pod.annotations);
  const std::map<std::string_view, std::string_view> fields = {
      {"metadata.name", context.name},
      {"metadata.namespace", pod.name_space},
      {"metadata.uid", context.uid},
      {"spec.nodeName", context.input.host_name},
      {"spec.serviceAccountName", pod.service_account},
      {"status.hostIP", context.input.host_address},
      {"status.hostIPs", context.input.host_address},
      {"status.podIP", context.input.address},
      {"status.podIPs", context.input.address}};
  const auto found = fields.find(path);
  return found == fields.end() ? "" : std::string(found->second);
}

std::string pod_resource(const PodContext& context, const manifest::ResourceRef& ref,
                         const std::string& container) {
  const std::string& name = ref.container.empty() ? container : ref.container;
  const auto found = std::ranges::find(context.pod.containers, name, &Container::name);
  if (found == context.pod.containers.end()) return "";
  const manifest::Resources& resources = found->resources;
  const auto up = [](int64_t amount, int64_t step) { return amount / step + (amount % step != 0); };
  const int64_t divisor = ref.divisor_thousandths == 0 ? 1000 : ref.divisor_thousandths;
  if (ref.resource.ends_with(".cpu")) {
    const auto& cpu = ref.resource == "limits.cpu" ? resources.cpu_limit : resources.cpu_request;
    return fmt::format("{}", up(cpu.value_or(0), divisor));
  }
  const auto& memory =
      ref.resource == "limits.memory" ? resources.memory_limit : resources.memory_request;
  return fmt::format("{}", up(memory.value_or(0), std::max<int64_t>(1, divisor / 1000)));
}

Variables plan_variables(const PodContext& context, const Container& container) {
  Variables variables;
  for (const manifest::EnvSource& source : container.env_from) {
    const manifest::Data* data = find_data(context, source.secret, source.name);
    if (data == nullptr) continue;
    for (const auto& [key, value] : data->entries) {
      set_variable(variables, source.prefix + key, value);
    }
  }
  for (const EnvVar& variable : container.env) {
    if (auto value = value_of(context, container, variable, variables)) {
      set_variable(variables, variable.name, std::move(*value));
    }
  }
  return variables;
}

Result<PlannedContainer> plan_pod_container(const PodContext& context, const Container& container,
                                            PodPlan& plan) {
  PlannedContainer planned;
  RunOptions& options = planned.options;
  const Variables variables = plan_variables(context, container);
  for (const auto& [name, value] : variables) {
    if (value.find('\0') == std::string::npos) continue;
    return wrong_at(container.place, fmt::format("variable {} holds a zero byte", name));
  }
  plan_metadata(context, container, options);
  plan_engine(context, container, options);
  plan_program(container, variables, options);
  TRY(plan_limits(container, options));
  plan_devices(container, plan, options);
  plan_user(context, container, planned);
  plan_security_options(context, container, options);
  options.mounts = TRY(plan_pod_mounts(context, container, variables, plan));
  options.cgroup_parent = plan.record.cgroup_parent;
  return planned;
}

}  // namespace trivet::runtime
