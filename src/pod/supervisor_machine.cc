// A pod that is one microVM: what is different about it.
#include "payload/microvm/control.h"
#include "pod/supervisor.h"

namespace trivet::pod {

// The pod's limits are the machine's size, and its network is there before it.
Result<> Supervisor::create_machine(int channel, oci::Spec spec) {
  if (!record_.resources.empty()) {
    spec.linux_config->resources =
        TRY_IN(oci::parse_resources(record_.resources), "the pod's resources");
  }
  for (const auto& [name, value] : record_.annotations) spec.annotations.try_emplace(name, value);
  if (record_.network == net::Mode::kPasta) TRY(journal_.note(Step::kNetwork));
  machine_.emplace(TRY(Machine::load(paths_, record_)));
  infra_ = TRY(machine_->create({.infra = std::move(spec), .channel = channel, .ports = ports_}));
  status_.infra = infra_->init();
  status_.pasta = machine_->passt();
  TRY(loop_.watch(infra_->init_pidfd(), EPOLLIN, [this](uint32_t) { infra_ended(); }));
  return write_pod_status(paths_, status_);
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
