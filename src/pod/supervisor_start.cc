// From records on disk to a running pod, step by step.
#include <algorithm>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/socket_pair.h"
#include "linux/cgroup.h"
#include "oci/spec.h"
#include "pod/remove.h"
#include "pod/supervisor.h"

namespace trivet::pod {

namespace {

// A tmpfs over an empty directory, which gives it its owner and mode.
Result<> mount_memory(const std::string& path, uint64_t size) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
  std::string options =
      fmt::format("mode={:o},uid={},gid={}", status.st_mode & 07777U, status.st_uid, status.st_gid);
  if (size != 0) options += fmt::format(",size={}", size);
  if (mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    return fail_errno("mount a tmpfs at \"{}\"", path);
  }
  return {};
}

}  // namespace

template <typename Done, typename What>
Result<> Supervisor::await(Done done, std::optional<std::chrono::milliseconds> limit, What what) {
  if (limit) {
    loop_.set_timer(Timer::kStart, *limit,
                    [this, what] { fail(Error(ErrorCode::kTimeout, what())); });
  }
  while (!failure_ && !done()) TRY(loop_.turn());
  loop_.clear_timer(Timer::kStart);
  if (failure_) return std::unexpected(*failure_);
  return {};
}

Result<> Supervisor::start_pod() {
  TRY(make_mounts());
  TRY(make_infra());
  TRY(create_containers());
  TRY(finish_network());
  status_.phase = PodPhase::kStarting;
  TRY(run_init_containers());
  TRY(start_containers());
  TRY(await_ready());
  return commit();
}

// In a mount namespace of our own, from which the containers' are made: what is mounted here ends
// with us, and nobody on the host sees it. What the host mounts later still comes in.
Result<> Supervisor::make_mounts() {
  if (unshare(CLONE_NEWNS) != 0) return fail_errno("unshare CLONE_NEWNS");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return fail_errno("mount \"/\" as a slave");
  }
  if (is_machine()) return {};  // the guest has them
  TRY(mount_memory(paths_.data() + "/shm", record_.shm_size));
  for (const MemoryVolume& volume : record_.memory_volumes) {
    TRY_IN(mount_memory(paths_.volume(volume.name), volume.size), "volume \"{}\"", volume.name);
  }
  return {};
}

// For a rollback: nothing of ours keeps the directories from being removed.
void Supervisor::unmount_all() const {
  (void)umount2((paths_.data() + "/shm").c_str(), MNT_DETACH);
  for (const MemoryVolume& volume : record_.memory_volumes) {
    (void)umount2(paths_.volume(volume.name).c_str(), MNT_DETACH);
  }
}

Result<> Supervisor::make_infra() {
  TRY(journal_.note(Step::kInfra));
  auto [ours, theirs] = TRY(make_socket_pair());
  const oci::Spec spec = TRY(plan_infra({.record = record_,
                                         .sysctls = record_.sysctls,
                                         .directory = paths_.data(),
                                         .library_host = find_companion("trivet-extension")}));
  TRY_IN(is_machine() ? create_machine(theirs.get(), spec) : create_infra(std::move(theirs), spec),
         "infra container");
  channel_ = std::make_unique<InfraChannel>(
      loop_, std::move(ours),
      InfraChannel::Handlers{
          .request_port = [this](const std::string& protocol, uint16_t host,
                                 uint16_t guest) { return request_port(protocol, host, guest); },
          .numbers = [this] { return numbers(); },
          .extension_failed =
              [this](const std::string& extension, const std::string& message) {
                status_.message = fmt::format("extension \"{}\": {}", extension, message);
                save_status();
              },
          .start_failed = [this](Error error) { extension_not_started(std::move(error)); }});
  TRY_IN(infra_->start(), "infra container");
  return record_.extensions.empty() ? Result<>() : start_extensions();
}

// Only when all of them are ready is it known which ports lead into the pod.
Result<> Supervisor::start_extensions() {
  TRY(channel_->start_extensions(record_));
  TRY(await(
      [this] { return !channel_->starting(); }, std::chrono::milliseconds(record_.start_timeout_ms),
      [this] {
        return fmt::format("extension \"{}\" is not ready after {} s",
                           channel_->starting().value_or(""), record_.start_timeout_ms / 1000);
      }));
  return start_network();
}

// Its network comes up while the containers are made, unless extensions have a say in it.
Result<> Supervisor::create_infra(UniqueFd channel, const oci::Spec& spec) {
  const std::string path = find_companion("trivet-infra");
  if (path.empty()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "the program trivet-infra is not installed")
            .hint("it belongs beside trivet or into PREFIX/libexec/trivet"));
  }
  container::Program program;
  program.file = TRY(open_file(path, O_RDONLY));
  program.env = {infra_environment(channel.get())};
  program.descriptors.push_back(std::move(channel));
  if (!record_.resources.empty()) TRY(limit_pod());
  const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
  container::CreateOptions create{
      .state_root = paths_.directories.engine(),
      .id = paths_.id,
      .bundle = paths_.data(),
      .stdio = {.stdin_fd = null.get(), .stdout_fd = null.get(), .stderr_fd = null.get()},
      .program = &program,
      .seccomp_cache = paths_.directories.data + "/seccomp",
      .start_by = container::CreateOptions::StartBy::kCreator,
      .signals_at_start = container::CreateOptions::SignalsAtStart::kBlocked};
  infra_ = TRY(container::Container::create(spec, create));
  status_.infra = infra_->init();
  TRY(loop_.watch(infra_->init_pidfd(), EPOLLIN, [this](uint32_t) { infra_ended(); }));
  if (record_.network != net::Mode::kHost) {
    network_namespace_ =
        TRY(open_file(fmt::format("/proc/{}/ns/net", infra_->init().pid), O_RDONLY));
  }
  return record_.extensions.empty() ? start_network() : Result<>();
}

// The whole pod's limits are those of the cgroup that all its containers are in.
Result<> Supervisor::limit_pod() const {
  const oci::Resources resources =
      TRY_IN(oci::parse_resources(record_.resources), "the pod's resources");
  auto cgroup =
      TRY(cgroup::Cgroup::create(TRY(cgroup::Layout::detect()), record_.cgroup_parent, paths_.id));
  return cgroup.apply_limits(resources);
}

Result<> Supervisor::start_network() {
  if (record_.network != net::Mode::kPasta) return {};
  TRY(journal_.note(Step::kNetwork));
  if (is_machine()) return start_machine_network();
  pasta_.emplace(
      TRY(net::spawn_pasta(infra_->init().pid, {.ports = ports_, .name = pasta_name(paths_)})));
  return {};
}

Result<> Supervisor::finish_network() {
  if (!pasta_) return {};
  auto pasta = pasta_->wait();
  pasta_.reset();
  status_.pasta = TRY(std::move(pasta));
  return write_pod_status(paths_, status_);
}

Result<uint16_t> Supervisor::request_port(const std::string& protocol, uint16_t host,
                                          uint16_t guest) {
  // There the pod's ports are the host's.
  if (record_.network == net::Mode::kHost && (host == 0 || host == guest)) return guest;
  if (record_.network != net::Mode::kPasta) {
    return trivet::fail(ErrorCode::kUnsupported,
                        "the pod has no ports of its own: its network is {}",
                        net::mode_name(record_.network));
  }
  // With those that are the pod's already, which nobody has bound yet.
  std::vector<net::PortMapping> wanted = ports_;
  wanted.push_back(
      {.host_ip = "", .host_port = host, .container_port = guest, .protocol = protocol});
  TRY(net::choose_ports(wanted));
  ports_ = std::move(wanted);
  status_.extension_ports.push_back(ports_.back());
  TRY(write_pod_status(paths_, status_));
  return ports_.back().host_port;
}

std::vector<monitor::JoinedNamespace> Supervisor::joined_namespaces() const {
  if (is_machine()) return {};  // it does so in the guest
  using enum oci::NamespaceType;
  std::vector<std::pair<oci::NamespaceType, const char*>> shared{{kIpc, "ipc"}, {kUts, "uts"}};
  if (record_.share_pid) shared.emplace_back(kPid, "pid");
  std::vector<monitor::JoinedNamespace> joined;
  for (const auto& [type, file] : shared) {
    joined.push_back(
        {.type = type, .path = fmt::format("/proc/{}/ns/{}", infra_->init().pid, file)});
  }
  if (record_.network != net::Mode::kHost) joined.push_back(joined_network());
  return joined;
}

monitor::JoinedNamespace Supervisor::joined_network() const {
  return {.type = oci::NamespaceType::kNetwork,
          .path = fmt::format("/proc/{}/ns/net", infra_->init().pid)};
}

Result<> Supervisor::create_containers() {
  for (const PodContainer& container : record_.containers) {
    TRY_IN(create_member(container), "container \"{}\"", container.name);
  }
  return {};
}

// One after the other; a sidecar is waited for only until it has started.
Result<> Supervisor::run_init_containers() {
  const std::chrono::milliseconds limit(record_.start_timeout_ms);
  for (Member& member : members_) {
    if (member.plan->role == Role::kMain) continue;
    TRY_IN(start_member(member), "init container \"{}\"", member.plan->name);
    if (member.plan->role == Role::kInit) {
      TRY(await([&] { return member.ended; }, std::nullopt, [] { return std::string(); }));
      continue;
    }
    TRY(await([&] { return member.started; }, limit, [this, &member] { return late(member); }));
  }
  return {};
}

Result<> Supervisor::start_containers() {
  for (Member& member : members_) {
    if (member.plan->role != Role::kMain) continue;
    TRY_IN(start_member(member), "container \"{}\"", member.plan->name);
  }
  return {};
}

// One that has ended well, as a job does, is as good as ready.
Result<> Supervisor::await_ready() {
  const auto is_settled = [](const Member& member) {
    return member.ended || (member.started && member.ready);
  };
  const auto unsettled = [this, is_settled] {
    return std::ranges::find_if_not(members_, is_settled);
  };
  return await([&] { return unsettled() == members_.end(); },
               std::chrono::milliseconds(record_.start_timeout_ms),
               [this, unsettled] { return late(*unsettled()); });
}

std::string Supervisor::late(const Member& member) const {
  std::string text =
      fmt::format("container \"{}\" is not {} after {} s", member.plan->name,
                  member.started ? "ready" : "started", record_.start_timeout_ms / 1000);
  if (!member.message.empty()) text += ": " + member.message;
  return text;
}

Result<> Supervisor::commit() {
  status_.phase = PodPhase::kRunning;
  status_.started = std::chrono::system_clock::now();
  save_status();
  TRY(journal_.note(Step::kRunning));
  committed_ = true;
  return {};
}

}  // namespace trivet::pod
