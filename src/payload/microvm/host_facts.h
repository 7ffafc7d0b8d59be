// What holds on this host until it boots again, and takes time to find out: kept in
// VM_DIR/host.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "payload/microvm/kvm_probe.h"

namespace trivet::payload::microvm {

struct HostFacts {
  std::string boot_id;
  std::optional<KvmProbe::State> kvm;  // only what is lasting
  uint64_t tsc_khz = 0;                // 0: unknown
};

// What was noted since this boot; empty facts where there is nothing.
[[nodiscard]] HostFacts read_host_facts(const std::string& vm_dir);
// Best effort: what can't be noted is found out again.
void note_host_facts(const std::string& vm_dir, const HostFacts& facts);

[[nodiscard]] std::string boot_id();

// The frequency of the time stamp counter: from the kernel or the processor, else measured against
// the clock for ten milliseconds. kUnsupported where there is none.
Result<uint64_t> find_tsc_khz();

// Model, features and microcode of the processor, as one line: a part of keys.
[[nodiscard]] std::string processor_identity();

// --- for tests
[[nodiscard]] std::string print_host_facts(const HostFacts& facts);
Result<HostFacts> parse_host_facts(std::string_view text);

}  // namespace trivet::payload::microvm
