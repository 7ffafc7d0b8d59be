// The mounts of a container: Docker's defaults, the files of its network, then the user's.
#include <algorithm>

#include "container/mount_options.h"
#include "runtime/plan.h"

namespace trivet::runtime {

namespace {

oci::Mount kernel_mount(const char* destination, const char* type, const char* source,
                        std::vector<std::string> options) {
  return {.destination = destination,
          .type = type,
          .source = source,
          .options = std::move(options),
          .uid_mappings = {},
          .gid_mappings = {}};
}

oci::Mount bind_mount(std::string source, std::string destination,
                      std::vector<std::string> options) {
  return {.destination = std::move(destination),
          .type = "bind",
          .source = std::move(source),
          .options = std::move(options),
          .uid_mappings = {},
          .gid_mappings = {}};
}

// Only the owner of a network namespace may mount sysfs; others see the host's.
oci::Mount sys_mount(const PlanInput& input, net::Mode network) {
  const char* access = input.options.privileged ? "rw" : "ro";
  if (input.host.ordinary_user && (network == net::Mode::kHost || network == net::Mode::kPath)) {
    return bind_mount("/sys", "/sys", {"rbind", "nosuid", "noexec", "nodev", access});
  }
  return kernel_mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access});
}

std::vector<oci::Mount> kernel_mounts(const PlanInput& input, net::Mode network) {
  const char* access = input.options.privileged ? "rw" : "ro";
  std::vector<std::string> terminals = {"nosuid", "noexec", "newinstance", "ptmxmode=0666",
                                        "mode=0620"};
  if (!input.host.one_id) terminals.emplace_back("gid=5");
  return {
      kernel_mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      kernel_mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      kernel_mount("/dev/pts", "devpts", "devpts", std::move(terminals)),
      sys_mount(input, network),
      kernel_mount("/sys/fs/cgroup", "cgroup", "cgroup",
                   {"nosuid", "noexec", "nodev", "relatime", access}),
  };
}

// /dev/shm and /dev/mqueue belong to the ipc namespace: shared when it is.
Result<> add_ipc_mounts(const PlanInput& input, std::vector<oci::Mount>& mounts) {
  const RunOptions& options = input.options;
  if (options.shm_size <= 0) {
    return fail(ErrorCode::kInvalidArgument, "--shm-size {}: it must be positive",
                options.shm_size);
  }
  // A new mount of it shows the queues of the namespace that the container is in, whosever it is.
  mounts.push_back(kernel_mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  if (input.pod != nullptr) {
    mounts.push_back(bind_mount(input.pod->directory + "/shm", "/dev/shm", {"bind", "rprivate"}));
    return {};
  }
  if (options.ipc_mode == "host") {
    mounts.push_back(bind_mount("/dev/shm", "/dev/shm", {"rbind", "rprivate"}));
    return {};
  }
  mounts.push_back(kernel_mount(
      "/dev/shm", "tmpfs", "shm",
      {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", options.shm_size)}));
  return {};
}

void add_network_files(const PlanInput& input, const net::Network& network, Plan& plan) {
  const bool in_pod = input.pod != nullptr;
  const std::string& own = in_pod ? input.pod->directory : input.identity.directory;
  const bool shared = in_pod || network.mode == net::Mode::kContainer;
  plan.make_network_files = !shared;
  const std::string& source = shared && !in_pod ? input.joined.network_directory : own;
  std::vector<std::string> options = {"rbind", "rprivate"};
  if (input.options.read_only) options.emplace_back("ro");
  plan.spec.mounts.push_back(bind_mount(source + "/resolv.conf", "/etc/resolv.conf", options));
  plan.spec.mounts.push_back(bind_mount(own + "/hostname", "/etc/hostname", options));
  plan.spec.mounts.push_back(bind_mount(source + "/hosts", "/etc/hosts", options));
}

Result<std::vector<MountRequest>> collect_requests(const PlanInput& input) {
  const RunOptions& options = input.options;
  const std::string& cwd = input.host.working_directory;
  std::vector<MountRequest> requests;
  for (const std::string& text : options.volumes) requests.push_back(TRY(parse_volume(text, cwd)));
  for (const MountOption& entry : options.mounts) requests.push_back(TRY(parse_mount(entry, cwd)));
  for (const std::string& text : options.tmpfs) requests.push_back(TRY(parse_tmpfs(text)));
  const auto taken = [&](const std::string& destination) {
    return std::ranges::any_of(requests,
                               [&](const auto& r) { return r.destination == destination; });
  };
  for (const std::string& destination : input.root.defaults.volumes) {
    MountRequest request = TRY_IN(parse_volume(destination, cwd), "the image's volumes");
    if (!taken(request.destination)) requests.push_back(std::move(request));
  }
  return requests;
}

Result<> check_requests(const PlanInput& input, const std::vector<MountRequest>& requests) {
  for (size_t i = 0; i < requests.size(); ++i) {
    const MountRequest& request = requests[i];
    if (request.relabel && input.host.selinux) {
      return fail(ErrorCode::kUnsupported, "mount \"{}\": SELinux relabelling is not supported",
                  request.destination);
    }
    for (size_t j = 0; j < i; ++j) {
      if (requests[j].destination == request.destination) {
        return fail(ErrorCode::kInvalidArgument, "two mounts have the destination \"{}\"",
                    request.destination);
      }
    }
  }
  return {};
}

// A part of the source is an option: the source is opened first, then what is below it.
std::vector<std::string> options_of(const MountRequest& request) {
  std::vector<std::string> options = request.options;
  if (!request.sub_path.empty()) {
    options.push_back(std::string(container::kSubPathOption) + request.sub_path);
  }
  return options;
}

oci::Mount apply_request(const PlanInput& input, MountRequest& request, Plan& plan) {
  switch (request.kind) {
    case MountRequest::Kind::kTmpfs:
      return kernel_mount(request.destination.c_str(), "tmpfs", "tmpfs", request.options);
    case MountRequest::Kind::kBind:
      plan.bind_sources.push_back(request.source);
      return bind_mount(request.source, request.destination, options_of(request));
    case MountRequest::Kind::kVolume:
      break;
  }
  const bool anonymous = request.source.empty();
  if (anonymous) request.source = input.host.make_volume_name();
  plan.volumes.push_back({.name = request.source,
                          .destination = request.destination,
                          .anonymous = anonymous,
                          .copy_up = request.copy_up});
  return bind_mount(fmt::format("{}/volumes/{}/_data", input.directories.data, request.source),
                    request.destination, options_of(request));
}

// Shallow destinations first, so that a deeper one is not hidden.
void sort_by_depth(std::vector<MountRequest>& requests) {
  const auto depth = [](const MountRequest& r) { return std::ranges::count(r.destination, '/'); };
  std::ranges::stable_sort(requests, {}, depth);
}

}  // namespace

Result<> plan_mounts(const PlanInput& input, const net::Network& network, Plan& plan) {
  plan.mounts = TRY(collect_requests(input));
  TRY(check_requests(input, plan.mounts));
  sort_by_depth(plan.mounts);
  std::vector<oci::Mount>& mounts = plan.spec.mounts;
  mounts = kernel_mounts(input, network.mode);
  TRY(add_ipc_mounts(input, mounts));
  add_network_files(input, network, plan);
  if (input.options.init) {
    mounts.push_back(bind_mount(input.host.init_program, "/dev/init", {"bind", "rprivate", "ro"}));
  }
  for (MountRequest& request : plan.mounts) {
    // A user's mount takes the place of a default one.
    std::erase_if(mounts,
                  [&](const oci::Mount& m) { return m.destination == request.destination; });
    mounts.push_back(apply_request(input, request, plan));
  }
  return {};
}

}  // namespace trivet::runtime
