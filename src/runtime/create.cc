#include "runtime/create.h"

#include <algorithm>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "payload/microvm/machine.h"
#include "runtime/devices.h"
#include "runtime/facts.h"
#include "runtime/isolation.h"
#include "runtime/names.h"
#include "runtime/volumes.h"

namespace trivet::runtime {

namespace {

Result<> check_count(const Home& home) {
  const auto ids = TRY(list_ids(home));
  if (ids.size() < home.max_containers) return {};
  return std::unexpected(Error(ErrorCode::kLimitExceeded,
                               fmt::format("there are {} containers already: the limit is {}",
                                           ids.size(), home.max_containers))
                             .hint("`trivet prune` removes the stopped ones"));
}

// Options that need no image, checked before one is pulled.
Result<> check_early(const Home& home, const RunOptions& options) {
  if (geteuid() != 0) {
    return std::unexpected(
        Error(ErrorCode::kWrongState, "the program has not entered the user namespace of its user")
            .hint("call trivet::enter_user_namespace() first in main()"));
  }
  TRY(check_isolation(options.isolation));
  if (!options.name.empty()) TRY(check_name(options.name));
  return check_count(home);
}

Result<> make_file(int directory, const char* name, std::string_view content, mode_t mode) {
  const UniqueFd fd = TRY(open_at(directory, name, O_WRONLY | O_CREAT | O_EXCL, mode));
  return write_all(fd.get(), content, name);
}

// The overlay's root has the attributes of its upper directory: they must be those of the layer
// below.
Result<> make_writable_layer(int directory, const std::vector<std::string>& layers) {
  for (const char* name : {"upper", "work"}) {
    if (mkdirat(directory, name, 0755) != 0) return fail_errno("mkdir \"{}\"", name);
  }
  struct stat status{};
  if (layers.empty() || stat(layers.front().c_str(), &status) != 0) return {};
  if (fchmodat(directory, "upper", status.st_mode & 07777U, 0) != 0) {
    return fail_errno("chmod \"upper\"");
  }
  if (fchownat(directory, "upper", status.st_uid, status.st_gid, 0) != 0) {
    return fail_errno("chown \"upper\"");
  }
  return {};
}

std::string address_of(const monitor::Record& record) {
  return monitor::is_machine(record) ? net::kVmAddress : net::pasta_address();
}

// In a pod they are all the pod's.
Result<> make_network_files(int directory, const Plan& plan) {
  if (!plan.record.pod.empty()) return {};
  TRY(make_file(directory, "hostname", plan.hosts.hostname + "\n", 0644));
  if (!plan.make_network_files) return {};
  net::HostsOptions hosts = plan.hosts;
  if (plan.record.network == net::Mode::kPasta) hosts.address = address_of(plan.record);
  return write_network_files(directory, hosts, plan.record.network, plan.dns);
}

Result<> make_volumes(const Home& home, const Plan& plan, const RootFacts& root,
                      Rollback& rollback) {
  for (const VolumeUse& use : plan.volumes) {
    if (TRY(make_volume(home, use.name, use.anonymous)) == Presence::kMade) {
      rollback.add([&home, name = use.name] {
        return remove_tree(AT_FDCWD, fmt::format("{}/{}", home.volumes(), name));
      });
    }
    TRY(copy_up(home, root.layers, use));
  }
  return {};
}

Result<> check_bind_sources(const Plan& plan) {
  for (const std::string& source : plan.bind_sources) {
    if (exists(source)) continue;
    return std::unexpected(
        Error(ErrorCode::kNotFound, fmt::format("volume source \"{}\" does not exist", source))
            .hint(fmt::format("make it first: mkdir -p {}", source)));
  }
  return {};
}

Result<RootFacts> find_root(const Home& home, RunOptions& options) {
  if (options.rootfs.empty()) {
    return image_root(home, TRY(resolve_image(home, options)), options);
  }
  options.rootfs = TRY(check_rootfs(options.rootfs, home.directories.data, options.rootfs_write));
  return directory_root(options.rootfs, options);
}

// One container in the making.
class Creation {
 public:
  Creation(const Home& home, RunOptions options, const std::string& id, const PodMember* member)
      : home_(home), options_(std::move(options)), member_(member) {
    identity_.id = id;
  }

  Result<monitor::Record> run(ResolveJoins when) {
    TRY(check_early(home_, options_));
    if (options_.image.empty() != options_.rootfs.empty()) root_ = TRY(find_root(home_, options_));
    TRY(check_user());
    joined_ = TRY(resolve_joins(home_, options_));
    auto made = make(when);
    if (!made) return std::unexpected(rollback_.fail(std::move(made).error()));
    rollback_.commit();
    return std::move(plan_.record);
  }

 private:
  Result<> make(ResolveJoins when) {
    TRY(make_directory());
    TRY(make_claim());
    TRY(make_plan());
    TRY(add_cdi_devices(options_, plan_.spec));
    TRY(check_bind_sources(plan_));
    TRY(net::choose_ports(plan_.record.ports));
    if (when == ResolveJoins::kNow) TRY(apply_joins(home_, plan_.joins, plan_.spec));
    if (plan_.record.overlay) TRY(make_writable_layer(directory_.get(), root_.layers));
    TRY(make_network_files(directory_.get(), plan_));
    TRY(make_volumes(home_, plan_, root_, rollback_));
    TRY(make_file(directory_.get(), "config.json", oci::print_spec(plan_.spec), 0600));
    return monitor::write_record(home_.directories, plan_.record);
  }

  // A container that is not native is planned anew once it is known to be such, if the image has
  // not said so before.
  Result<> make_plan() {
    const HostFacts host = make_host_facts();
    const PlanInput input{.options = options_,
                          .root = root_,
                          .host = host,
                          .joined = joined_,
                          .identity = identity_,
                          .directories = home_.directories,
                          .pod = member_ != nullptr ? &member_->pod : nullptr};
    const bool surely_wasm = is_surely_wasm(options_, root_);
    if (surely_wasm) options_ = wasm_options(std::move(options_));
    plan_ = TRY(plan_container(input));
    const payload::Isolation isolation = TRY(choose_isolation(options_, root_, plan_, input.pod));
    if (isolation == payload::Isolation::kNative || surely_wasm) return {};
    options_ = isolation == payload::Isolation::kWasm ? wasm_options(std::move(options_))
                                                      : microvm_options(std::move(options_));
    plan_ = TRY(plan_container(input));
    if (isolation == payload::Isolation::kMicrovm) TRY(check_machine());
    return {};
  }

  // Who the image's user is, is known only now.
  Result<> check_user() const {
    if (member_ == nullptr || !member_->must_not_be_root || root_.user.uid != 0) return {};
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, "runAsNonRoot: the container would run as root")
            .hint("set runAsUser, or use an image with a user of its own"));
  }

  // What can be said before anything of it is made: the monitor has nobody to warn.
  Result<> check_machine() const {
    const payload::microvm::MachineCheck check =
        TRY(payload::microvm::check_machine(plan_.spec, home_.directories.data));
    if (options_.on_warning) {
      for (const std::string& warning : check.warnings) options_.on_warning(warning);
    }
    return {};
  }

  Result<> make_directory() {
    identity_.created = std::chrono::system_clock::now();
    identity_.directory = home_.directories.container(identity_.id);
    TRY(make_dirs(home_.containers(), 0700));
    being_made_ = TRY(open_file(home_.containers(), O_RDONLY | O_DIRECTORY));
    if (flock(being_made_.get(), LOCK_SH) != 0) {
      return fail_errno("lock \"{}\"", home_.containers());
    }
    if (mkdir(identity_.directory.c_str(), 0700) != 0) {
      return fail_errno("mkdir \"{}\"", identity_.directory);
    }
    rollback_.add([path = identity_.directory] { return remove_tree(AT_FDCWD, path); });
    directory_ = TRY(open_file(identity_.directory, O_RDONLY | O_DIRECTORY));
    return {};
  }

  Result<> make_claim() {
    identity_.name = options_.name;
    if (options_.name.empty()) {
      identity_.name = TRY(claim_made_name(home_, identity_.id));
    } else {
      TRY(claim_name(home_, options_.name, identity_.id));
    }
    rollback_.add(
        [this] { return monitor::release_name(home_.directories, identity_.name, identity_.id); });
    return {};
  }

  const Home& home_;
  RunOptions options_;
  const PodMember* member_;  // null: it is in no pod
  RootFacts root_;
  JoinedContainers joined_;
  Identity identity_;
  UniqueFd being_made_;  // see try_pause_creations()
  UniqueFd directory_;
  Plan plan_;
  Rollback rollback_;
};

const char* proc_name(oci::NamespaceType type) {
  return type == oci::NamespaceType::kPid ? "pid" : "net";
}

Result<pid_t> running_init(const Home& home, const std::string& id, oci::NamespaceType type) {
  const auto status = TRY(monitor::read_status(home.directories, id));
  if (status.init.pid > 0 && is_alive(status.init)) return status.init.pid;
  return std::unexpected(
      Error(ErrorCode::kWrongState,
            fmt::format("container {}, whose {} namespace is to be joined, is not running",
                        id.substr(0, 12), oci::namespace_name(type)))
          .hint(fmt::format("start it first: trivet start {}", id.substr(0, 12))));
}

}  // namespace

Result<> write_network_files(int directory, const net::HostsOptions& hosts, net::Mode network,
                             const net::DnsOptions& dns) {
  TRY(make_file(directory, "hosts", TRY(net::make_hosts_file(hosts)), 0644));
  const std::string host_file = read_file("/etc/resolv.conf", 1U << 20U).value_or("");
  return make_file(directory, "resolv.conf", TRY(net::make_resolv_conf(host_file, network, dns)),
                   0644);
}

UniqueFd try_pause_creations(const Home& home) {
  auto fd = open_file(home.containers(), O_RDONLY | O_DIRECTORY);
  if (!fd || flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return {};
  return std::move(*fd);
}

Result<monitor::Record> create_container(const Home& home, const RunOptions& options,
                                         ResolveJoins when, const std::string& id) {
  return Creation(home, options, id, nullptr).run(when);
}

Result<monitor::Record> create_pod_container(const Home& home, const RunOptions& options,
                                             const std::string& id, const PodMember& member) {
  return Creation(home, options, id, &member).run(ResolveJoins::kAtStart);
}

Result<> apply_joins(const Home& home, const std::vector<Join>& joins, oci::Spec& spec) {
  for (const Join& join : joins) {
    const pid_t pid = TRY(running_init(home, join.container_id, join.type));
    for (oci::Namespace& entry : spec.linux_config->namespaces) {
      if (entry.type == join.type)
        entry.path = fmt::format("/proc/{}/ns/{}", pid, proc_name(join.type));
    }
  }
  return {};
}

Result<> erase_container(const Home& home, monitor::Record record, AnonymousVolumes volumes) {
  if (volumes == AnonymousVolumes::kKeep) record.anonymous_volumes.clear();
  return monitor::remove_container(home.directories, record);
}

}  // namespace trivet::runtime
