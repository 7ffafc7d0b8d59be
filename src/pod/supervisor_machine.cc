// A pod that is one microVM, and a container of a pod that is one of its own: what is different.
#include <fcntl.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/socket_pair.h"
#include "payload/microvm/control.h"
#include "payload/microvm/machine.h"
#include "pod/supervisor.h"

namespace trivet::pod {

// The pod's limits are the machine's size. Its network is there before it, unless extensions have a
// say in it: a port that is taken should cost no machine.
Result<> Supervisor::create_machine(int channel, oci::Spec spec) {
  if (!record_.resources.empty()) {
    spec.linux_config->resources =
        TRY_IN(oci::parse_resources(record_.resources), "the pod's resources");
  }
  for (const auto& [name, value] : record_.annotations) spec.annotations.try_emplace(name, value);
  const bool network_waits = !record_.extensions.empty();
  if (record_.network == net::Mode::kPasta && !network_waits) TRY(journal_.note(Step::kNetwork));
  machine_.emplace(TRY(Machine::load(paths_, record_)));
  infra_ = TRY(machine_->create({.infra = std::move(spec),
                                 .channel = channel,
                                 .ports = ports_,
                                 .network_waits = network_waits}));
  status_.infra = infra_->init();
  status_.pasta = machine_->passt();
  TRY(loop_.watch(infra_->init_pidfd(), EPOLLIN, [this](uint32_t) { infra_ended(); }));
  return write_pod_status(paths_, status_);
}

Result<> Supervisor::start_machine_network() {
  TRY(machine_->start_network(ports_));
  status_.pasta = machine_->passt();
  return write_pod_status(paths_, status_);
}

// A process of the machine's shell stands between; it ends when its end of the pair does.
Result<UniqueFd> Supervisor::connect_for(const Member& member, const std::string& host,
                                         uint16_t port) const {
  const container::Container* shell = machine_ ? &*infra_ : member.monitor->container();
  if (shell == nullptr) {
    return trivet::fail(ErrorCode::kWrongState, "container \"{}\" is not running",
                        member.plan->name);
  }
  const bool is_local = host.empty() || host == "localhost";
  const payload::PreparedExec prepared = TRY(payload::microvm::prepare_machine_connect(
      {.host = is_local ? "127.0.0.1" : host, .port = port}));
  auto [ours, theirs] = TRY(make_socket_pair());
  const UniqueFd null = TRY(open_file("/dev/null", O_WRONLY));
  const container::ExecOptions options{
      .process = prepared.process,
      .stdio = {.stdin_fd = theirs.get(), .stdout_fd = theirs.get(), .stderr_fd = null.get()},
      .program = &prepared.program,
      .seccomp_cache = paths_.directories.data + "/seccomp"};
  TRY(shell->exec(options));
  if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("fcntl O_NONBLOCK");
  return std::move(ours);
}

Result<bool> Supervisor::has_own_machine(const PodContainer& plan) const {
  if (is_machine()) return false;
  return monitor::is_machine(TRY(monitor::read_record(paths_.directories, plan.id)));
}

// As its guest counts them.
std::optional<ContainerNumbers> Supervisor::numbers_in_machine(
    const container::Container& container) {
  auto control = payload::microvm::Control::connect(container.init());
  if (!control) return std::nullopt;
  const auto stats = control->stats();
  if (!stats) return std::nullopt;
  return ContainerNumbers{.cpu_usage_ns = stats->cpu_usage_ns,
                          .memory_usage = stats->memory_usage,
                          .memory_limit = stats->memory_limit,
                          .pids = stats->pids};
}

}  // namespace trivet::pod
