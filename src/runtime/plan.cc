#include "runtime/plan.h"

#include <algorithm>

#include "linux/capabilities.h"
#include "payload/choose.h"

namespace trivet::runtime {

namespace {

monitor::RestartKind restart_kind(RestartPolicy::Kind kind) {
  switch (kind) {
    case RestartPolicy::Kind::kNo:
      return monitor::RestartKind::kNo;
    case RestartPolicy::Kind::kOnFailure:
      return monitor::RestartKind::kOnFailure;
    case RestartPolicy::Kind::kAlways:
      return monitor::RestartKind::kAlways;
    case RestartPolicy::Kind::kUnlessStopped:
      return monitor::RestartKind::kUnlessStopped;
  }
  return monitor::RestartKind::kNo;
}

Result<> check_combinations(const RunOptions& options) {
  if (options.image.empty() && options.rootfs.empty()) {
    return fail(ErrorCode::kInvalidArgument, "an image or --rootfs is needed");
  }
  if (!options.image.empty() && !options.rootfs.empty()) {
    return fail(ErrorCode::kInvalidArgument, "an image and --rootfs exclude each other");
  }
  if (options.rootfs_write && options.rootfs.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--rootfs-write needs --rootfs");
  }
  if (options.remove && options.restart.kind != RestartPolicy::Kind::kNo) {
    return fail(ErrorCode::kInvalidArgument, "--rm and --restart exclude each other");
  }
  if (options.restart.max_retries < 0) {
    return fail(ErrorCode::kInvalidArgument, "--restart on-failure:{}: a negative count",
                options.restart.max_retries);
  }
  if (options.log_max_files < 1) {
    return fail(ErrorCode::kInvalidArgument, "at least one log file must be kept");
  }
  return check_isolation(options.isolation);
}

// RFC 1123 labels, as the kernel's 64 bytes allow.
Result<> check_hostname(const std::string& name) {
  const bool fine = !name.empty() && name.size() <= 63 && name.front() != '-' &&
                    std::ranges::all_of(name, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
                    });
  if (fine) return {};
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is no host name", name);
}

// That of the pod is its infra container's, or the host's.
Result<net::Network> choose_network(const PlanInput& input) {
  if (input.pod == nullptr) return net::parse_network(input.options.network);
  if (input.pod->network == net::Mode::kHost) return net::Network{.mode = net::Mode::kHost};
  return net::Network{.mode = net::Mode::kContainer, .target = input.pod->id};
}

Result<std::string> choose_hostname(const PlanInput& input, const net::Network& network) {
  const RunOptions& options = input.options;
  const bool host_uts = options.uts_mode == "host";
  if (input.pod != nullptr) return input.pod->hostname;
  if (options.hostname.empty()) {
    const bool shared = host_uts || network.mode == net::Mode::kHost;
    return shared ? input.host.hostname : input.identity.id.substr(0, 12);
  }
  if (host_uts) {
    return fail(ErrorCode::kInvalidArgument, "--hostname and --uts host exclude each other");
  }
  TRY_IN(check_hostname(options.hostname), "--hostname");
  return options.hostname;
}

Result<std::vector<net::PortMapping>> plan_ports(const RunOptions& options,
                                                 const net::Network& network) {
  std::vector<net::PortMapping> ports;
  for (const std::string& text : options.publish) {
    for (net::PortMapping& port : TRY(net::parse_publish(text))) ports.push_back(std::move(port));
  }
  if (!ports.empty() && network.mode != net::Mode::kPasta) {
    return fail(ErrorCode::kInvalidArgument, "-p {}: ports can't be published with --network {}",
                options.publish.front(), options.network);
  }
  return ports;
}

void plan_root(const PlanInput& input, Plan& plan) {
  const RunOptions& options = input.options;
  plan.spec.root = oci::Root{.path = "rootfs", .readonly = options.read_only};
  if (options.rootfs_write) {
    plan.spec.root->path = options.rootfs;
    plan.record.rootfs = options.rootfs;
    return;
  }
  plan.record.overlay = container::OverlayRoot{
      .lower_directories = input.root.layers,
      .upper_directory = input.identity.directory + "/upper",
      .work_directory = input.identity.directory + "/work",
  };
}

Result<int> choose_stop_signal(const PlanInput& input) {
  if (input.options.stop_signal != 0) return input.options.stop_signal;
  if (input.root.defaults.stop_signal.empty()) return 15;
  return TRY_IN(parse_signal(input.root.defaults.stop_signal), "the image's StopSignal");
}

Result<> plan_record(const PlanInput& input, const net::Network& network, Plan& plan) {
  const RunOptions& options = input.options;
  monitor::Record& record = plan.record;
  record.id = input.identity.id;
  record.name = input.identity.name;
  record.created = input.identity.created;
  record.image = options.image.empty() ? options.rootfs : options.image;
  record.image_id = input.root.image_id;
  record.command = plan.spec.process->args;
  if (!options.isolation.empty() && options.isolation != "auto") {
    record.isolation = options.isolation;
  }
  record.labels = input.root.labels;
  for (const auto& [name, value] : options.labels) record.labels[name] = value;
  record.network = network.mode;
  const bool joins = network.mode == net::Mode::kContainer && input.pod == nullptr;
  record.network_target = joins ? input.joined.network : network.target;
  if (input.pod != nullptr) record.pod = input.pod->id;
  record.ports = TRY(plan_ports(options, network));
  record.terminal = options.terminal;
  record.interactive = options.interactive;
  record.init = options.init;
  record.remove = options.remove;
  record.restart = restart_kind(options.restart.kind);
  record.restart_retries = options.restart.max_retries;
  record.stop_signal = TRY(choose_stop_signal(input));
  record.stop_timeout_ms = std::chrono::milliseconds(options.stop_timeout).count();
  if (options.timeout) record.timeout_ms = options.timeout->count();
  record.log_max_size = options.log_max_size;
  record.log_max_files = options.log_max_files;
  return {};
}

void plan_network_files(const PlanInput& input, const std::string& hostname, Plan& plan) {
  const RunOptions& options = input.options;
  plan.hosts = {
      .hostname = hostname, .name = input.identity.name, .address = {}, .extra = options.add_hosts};
  plan.dns = {
      .servers = options.dns, .searches = options.dns_search, .options = options.dns_options};
}

}  // namespace

Result<> check_isolation(const std::string& name) {
  const std::vector<std::string> known = payload::isolation_choices();
  if (name.empty() || std::ranges::find(known, name) != known.end()) return {};
  Error unknown(ErrorCode::kInvalidArgument,
                fmt::format("unknown isolation \"{}\": known are {}", name, join(known, ", ")));
  const std::string nearest = nearest_name(name, known);
  if (nearest.empty()) return std::unexpected(std::move(unknown));
  return std::unexpected(std::move(unknown).hint(fmt::format("did you mean \"{}\"?", nearest)));
}

Result<Plan> plan_container(const PlanInput& input) {
  TRY(check_combinations(input.options));
  const net::Network network = TRY(choose_network(input));
  const std::string hostname = TRY(choose_hostname(input, network));
  Plan plan;
  oci::Linux& target = plan.spec.linux_config.emplace();
  plan.spec.process = TRY(plan_process(input, hostname));
  plan.spec.annotations = input.root.defaults.annotations;
  // An image has no say in its own isolation and limits.
  std::erase_if(plan.spec.annotations,
                [](const auto& entry) { return entry.first.starts_with("dev.trivet."); });
  for (const auto& [name, value] : input.options.annotations) plan.spec.annotations[name] = value;
  plan_root(input, plan);
  TRY(plan_namespaces(input, network, plan));
  const bool own_uts = target.find_namespace(oci::NamespaceType::kUts) != nullptr;
  if (own_uts && input.pod == nullptr) plan.spec.hostname = hostname;
  TRY(plan_resources(input, target));
  TRY(plan_security(input, *plan.spec.process, target));
  TRY(plan_sysctls(input.options.sysctls, target));
  TRY(plan_mounts(input, network, plan));
  TRY(plan_record(input, network, plan));
  plan_network_files(input, hostname, plan);
  for (const VolumeUse& use : plan.volumes) {
    if (use.anonymous) plan.record.anonymous_volumes.push_back(use.name);
  }
  plan.record.options_json = describe_options(input, plan);
  return plan;
}

}  // namespace trivet::runtime
