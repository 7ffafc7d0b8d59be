// What of a container's life under its monitor is particular to microVMs and WebAssembly.
#include "monitor/monitor.h"
#include "monitor/vm_network.h"
#include "payload/microvm/job.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/template_store.h"
#include "payload/wasm/report.h"

namespace trivet::monitor {

// A native container costs no look at its program: the library has decided.
Result<> Monitor::prepare_payload(const oci::Spec& spec, const std::string& bundle, Life& life) {
  status_.wasm.reset();
  status_.vm.reset();
  if (record_.isolation == payload::isolation_name(payload::Isolation::kNative)) {
    return {};
  }
  const payload::Choice choice = TRY(payload::choose({.requested = record_.isolation,
                                                      .annotations = spec.annotations,
                                                      .program_name = "trivet-monitor"}));
  payload::Request request{.spec = spec,
                           .bundle = bundle,
                           .data_directory = options_.directories.data,
                           .overlay = &record_.overlay,
                           .choice = choice,
                           .wasm_cache = options_.directories.data + "/wasm",
                           .seccomp_cache = options_.directories.data + "/seccomp",
                           .creator_starts = true};
  if (choice.isolation == payload::Isolation::kMicrovm) {
    life.report = TRY(payload::microvm::make_report());
    request.vm.report = life.report.get();
    request.vm.experimental = true;  // the library has asked
    request.vm.blocks_signals = record_.init;
    request.vm.no_template = boots_;
    request.vm.limits = TRY(payload::microvm::size_limits(spec.annotations));
    request.vm.seat = options_.seat;
    if (options_.seat == nullptr) TRY(start_vm_network(life, request.vm));
  } else {
    life.report = TRY(payload::wasm::make_report());
    request.wasm_report = life.report.get();
    request.wasm_places = options_.directories.data + "/places";
  }
  life.payload = TRY(payload::prepare(request));
  const auto& prepared = life.payload;
  if (prepared && prepared->isolation == payload::Isolation::kWasm) {
    status_.wasm = WasmStatus{.code_was_cached = prepared->code_was_cached};
  }
  if (prepared && prepared->machine) {
    const payload::MachineFacts& machine = *prepared->machine;
    status_.vm = VmStatus{.vmm = machine.vmm,
                          .kernel = machine.kernel,
                          .accelerator = machine.accelerator,
                          .vcpus = machine.vcpus,
                          .memory_mib = machine.memory_mib,
                          .from_template = machine.from_template,
                          .message = machine.no_template};
  }
  return {};
}

// The network of a VM is not that of its shell's namespace, where there is none: its frames go to
// passt.
Result<> Monitor::start_vm_network(Life& life, payload::VmRequest& request) {
  request.network = payload::VmNetwork::kNone;
  if (record_.network == net::Mode::kPath) request.network = payload::VmNetwork::kNamespace;
  if (record_.network == net::Mode::kPasta) {
    net::PasstNetwork network = TRY(net::start_passt({.ports = record_.ports}));
    life.pasta = network.process;
    life.vm_network = std::move(network.socket);
  }
  if (!life.vm_network) return {};
  request.network = payload::VmNetwork::kSocket;
  request.network_socket = life.vm_network.get();
  request.interfaces = {record_.pod.empty() ? vm_interface() : pod_vm_interface()};
  return {};
}

void Monitor::note_vm_boot(const Life& life) {
  if (!status_.vm) return;
  if (const auto report = payload::microvm::read_report(life.report.get())) {
    status_.vm->boot_us = report->boot_us;
  }
}

void Monitor::note_vm_report(const Life& ended) {
  const auto report = payload::microvm::read_report(ended.report.get());
  if (!report) {
    status_.error = report.error().message();
    return;
  }
  if (report->oom_killed) status_.oom_killed = true;
  if (!report->message.empty()) status_.vm->message = report->message;
  if (report->lost) status_.error = report->message;
}

void Monitor::note_report(const Life& ended) {
  if (status_.vm) note_vm_report(ended);
  if (!status_.wasm) return;
  const auto report = payload::wasm::read_report(ended.report.get());
  if (!report) {
    status_.error = report.error().message();
    return;
  }
  using payload::wasm::Outcome;
  // One that was killed had no time to say so.
  const Outcome outcome = report->outcome == Outcome::kRunning ? Outcome::kSignal : report->outcome;
  status_.wasm->outcome = payload::wasm::outcome_name(outcome);
  status_.wasm->message = report->message;
  status_.wasm->fuel_used = report->fuel_used;
  status_.wasm->memory_bytes = report->memory_bytes;
  if (outcome == Outcome::kOutOfMemory) status_.oom_killed = true;
}

}  // namespace trivet::monitor
