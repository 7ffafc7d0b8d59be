#include "pod/machine.h"

#include <fcntl.h>

#include "base/fs.h"
#include "base/socket_pair.h"
#include "monitor/vm_network.h"
#include "payload/microvm/job.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/pod.h"
#include "payload/microvm/template_store.h"

namespace trivet::pod {

Result<Machine> Machine::load(const PodPaths& paths, const PodRecord& record) {
  Machine machine(paths, record);
  for (const PodContainer& container : record.containers) {
    const std::string path = paths.directories.container(container.id) + "/config.json";
    machine.sources_.push_back({
      .spec = TRY_IN(oci::parse_spec(TRY(read_file(path))), "\"{}\"", path)
      , .record = TRY(monitor::read_record(paths.directories, container.id))
    });
  }
  return machine;
}

payload::microvm::PodSource Machine::describe() const {
  payload::microvm::PodSource pod{.directory = paths_.data(),
                                  .volumes_directory = paths_.data() + "/volumes",
                                  .shm_size = record_->shm_size,
                                  .share_pid = record_->share_pid};
  for (const MemoryVolume& volume : record_->memory_volumes) {
    pod.memory_volumes[volume.name] = volume.size;
  }
  for (const Source& source : sources_) {
    pod.members.push_back({.spec = source.spec,
                           .bundle = paths_.directories.container(source.record.id),
                           .overlay = &source.record.overlay,
                           .blocks_signals = source.record.init});
  }
  return pod;
}

// The machine's process is nobody's child but the engine's, and ends when its socket does.
Result<> Machine::start_network(const std::vector<net::PortMapping>& ports) {
  if (record_->network != net::Mode::kPasta) return {};
  passt_ = TRY(net::start_passt_at(std::move(passt_socket_), {.ports = ports}));
  return {};
}

Result<> Machine::add_network(const Start& start, payload::VmRequest& request) {
  request.network = payload::VmNetwork::kNone;
  if (record_->network != net::Mode::kPasta) return {};
  SocketPair pair = TRY(make_socket_pair());
  network_ = std::move(pair.ours);
  passt_socket_ = std::move(pair.theirs);
  request.network = payload::VmNetwork::kSocket;
  request.network_socket = network_.get();
  request.interfaces = {monitor::vm_interface()};
  return start.network_waits ? Result<>() : start_network(start.ports);
}

Result<payload::Prepared> Machine::prepare(const Start& start) {
  const payload::microvm::PodSource pod = describe();
  report_ = TRY(payload::microvm::make_report());
  payload::Request request{
      .spec = start.infra,
      .bundle = paths_.data(),
      .data_directory = paths_.directories.data,
      .choice = {.isolation = payload::Isolation::kMicrovm, .by_program = false},
      .vm = {.experimental = true,  // the library has asked
             .report = report_.get(),
             .no_template = boots_,
             .limits = TRY(payload::microvm::size_limits(start.infra.annotations)),
             .blocks_signals = true,
             .pod = &pod},
      .creator_starts = true};
  TRY(add_network(start, request.vm));
  auto prepared = TRY(payload::prepare(request));
  if (prepared) return std::move(*prepared);
  return fail(ErrorCode::kCorrupt, "the infra container's specification has no program");
}

Result<container::Container> Machine::try_create(const Start& start) {
  payload::Prepared prepared = TRY(prepare(start));
  const UniqueFd null = TRY(open_file("/dev/null", O_WRONLY));
  const std::string config = oci::print_spec(start.infra);
  const container::CreateOptions create{
      .state_root = paths_.directories.engine(),
      .id = paths_.id,
      .bundle = paths_.data(),
      .stdio = {.stdin_fd = start.channel, .stdout_fd = start.channel, .stderr_fd = null.get()},
      .program = &prepared.program,
      .seccomp_cache = paths_.directories.data + "/seccomp",
      .config_json = config,
      .start_by = container::CreateOptions::StartBy::kCreator};
  auto created = container::Container::create(prepared.spec, create);
  network_.reset();  // the machine has its own
  const bool unusable = !created && created.error().code() == ErrorCode::kCorrupt;
  boots_ = boots_ || (unusable && prepared.machine->from_template);
  if (!created) return created;
  members_ = std::move(prepared.members);
  for (const payload::microvm::Member& member : members_) {
    seats_.push_back({.member = member, .machine = created->init(), .facts = *prepared.machine});
  }
  return created;
}

// A saved machine that does not come back is of no use to anybody: from now on they boot, and save
// a new one.
Result<container::Container> Machine::create(const Start& start) {
  for (;;) {
    const bool booted = boots_;
    auto created = try_create(start);
    if (created) return created;
    network_.reset();
    passt_socket_.reset();
    (void)net::stop_pasta(std::exchange(passt_, ProcessId{}));
    if (booted || !boots_) return created;
    const std::string directory = payload::microvm::vm_directory(paths_.directories.data);
    (void)payload::microvm::TemplateStore(directory).clear();
  }
}

std::string Machine::last_words() const {
  const auto report = payload::microvm::read_report(report_.get());
  return report ? report->message : report.error().message();
}

}  // namespace trivet::pod
