#include "runtime/pod_plan.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "payload/choose.h"
#include "payload/microvm/sizes.h"
#include "pod/infra.h"
#include "runtime/plan.h"
#include "runtime/pod_plan_parts.h"

namespace trivet::runtime {

namespace {

pod::Action action_of(const manifest::Action& action) {
  using From = manifest::Action::Kind;
  using To = pod::Action::Kind;
  static const std::map<From, To> kKinds = {{From::kExec, To::kExec},
                                            {From::kHttp, To::kHttp},
                                            {From::kTcp, To::kTcp},
                                            {From::kGrpc, To::kGrpc},
                                            {From::kSleep, To::kSleep}};
  return {.kind = kKinds.at(action.kind),
          .command = action.command,
          .host = action.host,
          .port = action.port,
          .path = action.path,
          .https = action.https,
          .headers = action.headers,
          .service = action.service,
          .sleep_ms = action.sleep_seconds * 1000};
}

std::optional<pod::Action> action_of(const std::optional<manifest::Action>& action) {
  if (!action) return std::nullopt;
  return action_of(*action);
}

std::optional<pod::Probe> probe_of(const std::optional<manifest::Probe>& probe) {
  if (!probe) return std::nullopt;
  pod::Probe planned{.action = action_of(probe->action),
                     .initial_delay_ms = int64_t{probe->initial_delay_seconds} * 1000,
                     .period_ms = int64_t{probe->period_seconds} * 1000,
                     .timeout_ms = int64_t{probe->timeout_seconds} * 1000,
                     .success_threshold = probe->success_threshold,
                     .failure_threshold = probe->failure_threshold,
                     .grace_ms = std::nullopt};
  if (probe->grace_seconds) planned.grace_ms = *probe->grace_seconds * 1000;
  return planned;
}

pod::Role role_of(manifest::Role role) {
  switch (role) {
    case manifest::Role::kInit:
      return pod::Role::kInit;
    case manifest::Role::kSidecar:
      return pod::Role::kSidecar;
    case manifest::Role::kMain:
      break;
  }
  return pod::Role::kMain;
}

pod::PodContainer container_record(const manifest::Container& container, const std::string& id) {
  return {.id = id,
          .name = container.name,
          .role = role_of(container.role),
          .startup = probe_of(container.startup),
          .liveness = probe_of(container.liveness),
          .readiness = probe_of(container.readiness),
          .post_start = action_of(container.post_start),
          .pre_stop = action_of(container.pre_stop)};
}

// How long a container may take to be started and ready, by its own probes.
int64_t probes_take(const pod::PodContainer& container) {
  int64_t all = 0;
  if (const auto& probe = container.startup) {
    all += probe->initial_delay_ms +
           probe->failure_threshold * std::max(probe->period_ms, probe->timeout_ms);
  }
  if (const auto& probe = container.readiness) {
    all += probe->initial_delay_ms +
           (probe->success_threshold - 1) * std::max(probe->period_ms, probe->timeout_ms);
  }
  return all;
}

// The digits of the id as a UUID is written.
std::string uid_of(const manifest::Pod& pod, const std::string& id) {
  if (!pod.uid.empty() || id.size() < 32) return pod.uid;
  return fmt::format("{}-{}-{}-{}-{}", id.substr(0, 8), id.substr(8, 4), id.substr(12, 4),
                     id.substr(16, 4), id.substr(20, 12));
}

Result<std::string> choose_pod_isolation(const PodPlanInput& input) {
  const manifest::Pod& pod = input.manifest.pod;
  TRY_IN(check_isolation(input.options.isolation), "--isolation");
  const std::string& asked = input.options.isolation;
  std::string isolation = pod_isolation(pod, input.options);
  if (isolation == "microvm" && (pod.host_network || pod.host_pid)) {
    Error error(ErrorCode::kInvalidArgument,
                fmt::format("a microVM can't have the host's {}",
                            pod.host_network ? "network" : "processes"));
    const bool is_default = asked.empty() && pod.isolation.empty();
    if (is_default) {
      error = std::move(error).hint(
          "pods are microVMs here unless they say something else: "
          "--isolation native");
    }
    return std::unexpected(std::move(error));
  }
  return isolation;
}

// hostPort of the containers, and -p.
Result<std::vector<net::PortMapping>> plan_pod_ports(const PodPlanInput& input) {
  const manifest::Pod& pod = input.manifest.pod;
  std::vector<net::PortMapping> ports;
  if (pod.host_network) {
    if (input.options.publish.empty()) return ports;
    return fail(ErrorCode::kInvalidArgument,
                "-p {}: with hostNetwork the pod has the host's ports already",
                input.options.publish.front());
  }
  for (const manifest::Container& container : pod.containers) {
    for (const manifest::Port& port : container.ports) {
      if (port.host_port == 0) continue;
      ports.push_back({.host_ip = port.host_ip == "0.0.0.0" ? "" : port.host_ip,
                       .host_port = port.host_port,
                       .container_port = port.container_port,
                       .protocol = port.protocol});
    }
  }
  for (const std::string& text : input.options.publish) {
    for (net::PortMapping& port : TRY(net::parse_publish(text))) ports.push_back(std::move(port));
  }
  return ports;
}

// Those that are installed with trivet.
constexpr std::array<std::pair<const char*, const char*>, 2> kExtensions = {{
    {"dns", "trivet-dns"},
    {"metrics", "libtrivet-metrics.so"},
}};

Result<pod::Extension> find_extension(const PodPlanInput& input,
                                      const manifest::Extension& extension) {
  pod::Extension found{extension.name, extension.path, extension.settings};
  if (!found.path.empty()) {
    found.path = TRY_IN(normal_path(found.path), "extension \"{}\"", found.name);
    return found;
  }
  for (const auto& [name, file] : kExtensions) {
    if (found.name != name) continue;
    found.path = input.find_companion(file);
    if (!found.path.empty()) return found;
    return fail(ErrorCode::kUnsupported, "extension \"{}\": {} is not installed", found.name, file);
  }
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("there is no extension \"{}\"", found.name))
          .hint("trivet has dns and metrics; NAME=PATH names a program or library of your own"));
}

// Those of the options replace the manifest's of the same name. Their settings are in its
// annotations too.
Result<std::vector<pod::Extension>> plan_extensions(const PodPlanInput& input) {
  std::vector<manifest::Extension> wanted = input.manifest.pod.extensions;
  const auto& annotations = input.manifest.pod.annotations;
  for (const std::string& text : input.options.extensions) {
    const size_t equals = std::min(text.find('='), text.size());
    const std::string name = text.substr(0, equals);
    const std::string path = equals < text.size() ? text.substr(equals + 1) : "";
    const auto known = std::ranges::find(wanted, name, &manifest::Extension::name);
    if (known == wanted.end()) {
      const auto settings = annotations.find("dev.trivet.extension/" + name);
      wanted.push_back({.name = name,
                        .path = path,
                        .settings = settings == annotations.end() ? "" : settings->second});
    } else {
      known->path = path;
    }
  }
  std::vector<pod::Extension> extensions;
  for (const manifest::Extension& extension : wanted) {
    if (std::ranges::find(extensions, extension.name, &pod::Extension::name) != extensions.end()) {
      return fail(ErrorCode::kInvalidArgument, "extension \"{}\" is asked for twice",
                  extension.name);
    }
    extensions.push_back(TRY(find_extension(input, extension)));
  }
  return extensions;
}

// Limits of the pod as a whole: OCI's linux.resources.
std::string plan_pod_resources(const manifest::Resources& resources) {
  std::vector<std::string> parts;
  std::vector<std::string> cpu;
  if (resources.cpu_limit) {
    cpu.push_back(fmt::format(R"("quota":{},"period":100000)", cpu_quota_of(*resources.cpu_limit)));
  }
  if (resources.cpu_request) {
    cpu.push_back(fmt::format(R"("shares":{})", cpu_shares_of(*resources.cpu_request)));
  }
  if (!cpu.empty()) parts.push_back(fmt::format(R"("cpu":{{{}}})", join(cpu, ",")));
  if (resources.memory_limit) {
    parts.push_back(fmt::format(R"("memory":{{"limit":{}}})", *resources.memory_limit));
  }
  if (resources.pids_limit) {
    parts.push_back(fmt::format(R"("pids":{{"limit":{}}})", *resources.pids_limit));
  }
  return parts.empty() ? "" : fmt::format("{{{}}}", join(parts, ","));
}

// A pod with the host's network has the host's name, as in Kubernetes.
std::string choose_pod_hostname(const PodContext& context) {
  if (!context.pod.hostname.empty()) return context.pod.hostname;
  if (context.pod.host_network) return context.input.host_name;
  std::string name = context.name.substr(0, 63);
  while (name.ends_with('-') || name.ends_with('.')) name.pop_back();
  return name;
}

void plan_names(const PodContext& context, PodPlan& plan) {
  const manifest::Pod& pod = context.pod;
  plan.hosts = {.hostname = plan.record.hostname,
                .name = {},
                .address = pod.host_network ? std::string() : context.input.address,
                .extra = {}};
  if (!pod.subdomain.empty()) {
    plan.hosts.name = fmt::format("{}.{}", plan.record.hostname, pod.subdomain);
  }
  for (const manifest::HostAlias& alias : pod.host_aliases) {
    for (const std::string& name : alias.names) {
      plan.hosts.extra.push_back(fmt::format("{}:{}", name, alias.address));
    }
  }
  plan.dns = {.servers = pod.dns.servers, .searches = pod.dns.searches, .options = pod.dns.options};
}

Result<> plan_pod_record(const PodContext& context, PodPlan& plan) {
  const PodPlanInput& input = context.input;
  const manifest::Pod& pod = context.pod;
  pod::PodRecord& record = plan.record;
  record.id = input.id;
  record.name = context.name;
  record.name_space = pod.name_space;
  record.created = input.created;
  record.labels = pod.labels;
  record.annotations = pod.annotations;
  limit_machines(input.options, record.annotations);
  record.isolation = context.isolation.empty() ? "native" : context.isolation;
  record.hostname = choose_pod_hostname(context);
  record.share_pid = pod.share_pid;
  record.network = pod.host_network ? net::Mode::kHost : net::Mode::kPasta;
  record.ports = TRY(plan_pod_ports(input));
  record.cgroup_parent = "/trivet-pod-" + input.id;
  record.resources = plan_pod_resources(pod.resources);
  record.extensions = TRY(plan_extensions(input));
  record.grace_ms = pod.grace_seconds * 1000;
  if (pod.deadline_seconds) record.deadline_ms = *pod.deadline_seconds * 1000;
  const int64_t start_timeout = input.options.start_timeout.count();
  record.start_timeout_ms = start_timeout;
  for (size_t i = 0; i < pod.containers.size(); ++i) {
    record.containers.push_back(container_record(pod.containers[i], input.container_ids[i]));
    record.start_timeout_ms =
        std::max(record.start_timeout_ms, start_timeout + probes_take(record.containers.back()));
  }
  return {};
}

// A microVM among the containers asks other servers than `dns` does not by way of it.
Result<> check_discovery(const PodPlan& plan) {
  if (plan.record.isolation == "microvm" || !pod::has_discovery(plan.record.extensions)) return {};
  const bool has_machine = std::ranges::any_of(plan.containers, [](const auto& container) {
    return container.options.isolation == "microvm";
  });
  if (has_machine) TRY(pod::bypass_discovery("", plan.record.extensions));
  return {};
}

}  // namespace

std::unexpected<Error> wrong_at(const manifest::Place& place, std::string_view what) {
  return fail(ErrorCode::kInvalidArgument, "{}: {}", manifest::place_text(place), what);
}

int64_t cpu_quota_of(int64_t thousandths) {
  constexpr int64_t kLeast = 1000;  // of the kernel
  return std::max(kLeast, thousandths * 100);
}

uint64_t cpu_shares_of(int64_t thousandths) {
  constexpr int64_t kLeast = 2;
  constexpr int64_t kMost = 262144;
  return static_cast<uint64_t>(std::clamp(thousandths * 1024 / 1000, kLeast, kMost));
}

std::string pod_isolation(const manifest::Pod& pod, const PodOptions& options) {
  const std::string& asked = options.isolation.empty() ? pod.isolation : options.isolation;
  if (asked == "auto") return {};
  if (!asked.empty()) return asked;
  return options.default_isolation == "native" ? "" : options.default_isolation;
}

// What a manifest says about that goes: it is for the host to decide.
void limit_machines(const PodOptions& options, std::map<std::string, std::string>& annotations) {
  namespace microvm = payload::microvm;
  const PodOptions standard;
  const auto set = [&](const char* annotation, int64_t most, int64_t usual) {
    annotations.erase(annotation);
    if (most != usual) annotations[annotation] = std::to_string(most);
  };
  set(microvm::kMaxCpusAnnotation, options.microvm_max_cpus, standard.microvm_max_cpus);
  set(microvm::kMaxMemoryAnnotation, options.microvm_max_memory, standard.microvm_max_memory);
}

Result<PodPlan> plan_pod(const PodPlanInput& input) {
  const manifest::Pod& pod = input.manifest.pod;
  assert(input.container_ids.size() == pod.containers.size());
  const PodContext context {
    .input = input, .pod = pod, .name = input.options.name.empty() ? pod.name : input.options.name,
    .uid = uid_of(pod, input.id), .isolation = TRY(choose_pod_isolation(input))
  };
  PodPlan plan;
  TRY(plan_pod_record(context, plan));
  TRY(plan_pod_volumes(context, plan));
  for (const manifest::Container& container : pod.containers) {
    plan.containers.push_back(TRY(plan_pod_container(context, container, plan)));
  }
  TRY(check_discovery(plan));
  plan_names(context, plan);
  plan.sysctls = pod.security.sysctls;
  plan.warnings = input.manifest.warnings;
  return plan;
}

}  // namespace trivet::runtime
