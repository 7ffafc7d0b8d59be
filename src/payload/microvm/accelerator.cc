#include "payload/microvm/accelerator.h"

#include <unistd.h>

#include "payload/microvm/host_facts.h"

namespace trivet::payload::microvm {

namespace {

constexpr const char* kDevice = "/dev/kvm";

Result<uint64_t> known_tsc(const std::string& vm_dir) {
  HostFacts facts = read_host_facts(vm_dir);
  if (facts.tsc_khz != 0) return facts.tsc_khz;
  facts.tsc_khz = TRY(find_tsc_khz());
  note_host_facts(vm_dir, facts);
  return facts.tsc_khz;
}

Result<Accelerator> accelerator_for(std::string_view request, const std::string& vm_dir,
                                    std::string& warning) {
  if (request == "tcg") return Accelerator::kTcg;
  if (request != "kvm" && request != "auto" && !request.empty()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown accelerator \"{}\"", request))
            .hint("it is auto, kvm or tcg"));
  }
  const KvmProbe kvm = known_kvm(vm_dir);
  if (kvm.usable()) return Accelerator::kKvm;
  if (request == "kvm") {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "KVM can't be used: " + kvm.reason).hint(kvm.hint));
  }
  warning = fmt::format("the microVM is emulated in software, which is slow: {}", kvm.reason);
  return Accelerator::kTcg;
}

}  // namespace

const char* accelerator_name(Accelerator accelerator) {
  return accelerator == Accelerator::kKvm ? "kvm" : "tcg";
}

KvmProbe known_kvm(const std::string& vm_dir) {
  HostFacts facts = read_host_facts(vm_dir);
  // Who may open it can change at any time.
  if (facts.kvm && access(kDevice, R_OK | W_OK) == 0) return describe_kvm(*facts.kvm);
  KvmProbe probe = probe_kvm(kDevice);
  if (probe.is_lasting()) {
    facts.kvm = probe.state;
    note_host_facts(vm_dir, facts);
  }
  return probe;
}

Result<Acceleration> choose_accelerator(std::string_view request, const std::string& vm_dir) {
  Acceleration chosen;
  chosen.accelerator = TRY(accelerator_for(request, vm_dir, chosen.warning));
  chosen.tsc_khz = TRY(known_tsc(vm_dir));
  return chosen;
}

}  // namespace trivet::payload::microvm
