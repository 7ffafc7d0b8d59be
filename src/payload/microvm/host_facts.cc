#include "payload/microvm/host_facts.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace trivet::payload::microvm {

namespace {

constexpr size_t kMaxRecord = 4096;

std::string path_of(const std::string& vm_dir) {
  return vm_dir + "/host.json";
}

const char* state_name(KvmProbe::State state) {
  return state == KvmProbe::State::kUsable ? "usable" : "not-for-kernels";
}

#if defined(__x86_64__)

struct Leaf {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

Leaf cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Leaf found;
  __cpuid_count(leaf, subleaf, found.eax, found.ebx, found.ecx, found.edx);
  return found;
}

// Intel SDM, CPUID 15H: TSC = crystal (ecx, Hz) * ebx / eax.
uint64_t tsc_of_crystal() {
  constexpr uint32_t kLeaf = 0x15;
  if (cpuid(0).eax < kLeaf) return 0;
  const Leaf leaf = cpuid(kLeaf);
  if (leaf.eax == 0 || leaf.ebx == 0 || leaf.ecx == 0) return 0;
  return uint64_t{leaf.ecx} * leaf.ebx / leaf.eax / 1000;
}

// Hypervisors say it in a leaf of theirs, which VMware has begun and KVM may have.
uint64_t tsc_of_hypervisor() {
  constexpr uint32_t kFirst = 0x40000000;
  constexpr uint32_t kTiming = 0x40000010;
  constexpr uint32_t kHypervisorBit = 1U << 31U;
  if ((cpuid(1).ecx & kHypervisorBit) == 0 || cpuid(kFirst).eax < kTiming) return 0;
  return cpuid(kTiming).eax;
}

struct Moment {
  uint64_t ticks = 0;
  int64_t nanoseconds = 0;
};

// The clock read between two readings of the counter that are as close together as a quiet moment
// allows: an interruption in between would be taken for time.
Moment read_both() {
  constexpr int kAttempts = 64;
  Moment best;
  uint64_t best_span = UINT64_MAX;
  for (int i = 0; i < kAttempts; ++i) {
    timespec time{};
    const uint64_t before = __rdtsc();
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    const uint64_t span = __rdtsc() - before;
    if (span >= best_span) continue;
    best_span = span;
    best = {.ticks = before + span / 2,
            .nanoseconds = int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec};
  }
  return best;
}

uint64_t measure_tsc() {
  const Moment begin = read_both();
  timespec pause{.tv_sec = 0, .tv_nsec = 12'000'000};
  nanosleep(&pause, nullptr);
  const Moment end = read_both();
  const int64_t elapsed = end.nanoseconds - begin.nanoseconds;
  if (elapsed <= 0 || end.ticks <= begin.ticks) return 0;
  const double khz =
      static_cast<double>(end.ticks - begin.ticks) * 1e6 / static_cast<double>(elapsed);
  // A measurement is good to some kilohertz. Rounded, it is the same after every boot, and with it
  // the command line of guests.
  constexpr double kStep = 10;
  return static_cast<uint64_t>(khz / kStep + 0.5) * static_cast<uint64_t>(kStep);
}

uint64_t tsc_of_kernel() {
  const auto text = read_file("/sys/devices/system/cpu/cpu0/tsc_freq_khz", kMaxRecord);
  if (!text) return 0;
  const auto khz = parse_int(trim(*text));
  return khz && *khz > 0 ? static_cast<uint64_t>(*khz) : 0;
}

#endif

}  // namespace

std::string boot_id() {
  const auto text = read_file("/proc/sys/kernel/random/boot_id", kMaxRecord);
  return text ? std::string(trim(*text)) : std::string();
}

std::string print_host_facts(const HostFacts& facts) {
  Json json{{"boot_id", facts.boot_id}};
  if (facts.kvm) json["kvm"] = state_name(*facts.kvm);
  if (facts.tsc_khz != 0) json["tsc_khz"] = facts.tsc_khz;
  return json.dump();
}

Result<HostFacts> parse_host_facts(std::string_view text) {
  const Json json = TRY(parse_json(text, "host facts"));
  const JsonView view(json, "host facts");
  HostFacts facts;
  std::string kvm;
  TRY(view.read("boot_id", facts.boot_id));
  TRY(view.read("kvm", kvm));
  TRY(view.read("tsc_khz", facts.tsc_khz));
  for (const auto state : {KvmProbe::State::kUsable, KvmProbe::State::kNotForKernels}) {
    if (kvm == state_name(state)) facts.kvm = state;
  }
  return facts;
}

HostFacts read_host_facts(const std::string& vm_dir) {
  const std::string now = boot_id();
  if (const auto text = read_file(path_of(vm_dir), kMaxRecord)) {
    auto facts = parse_host_facts(*text);
    if (facts && facts->boot_id == now && !now.empty()) return std::move(*facts);
  }
  return HostFacts{.boot_id = now};
}

void note_host_facts(const std::string& vm_dir, const HostFacts& facts) {
  if (facts.boot_id.empty() || !make_dirs(vm_dir)) return;
  (void)replace_file(AT_FDCWD, path_of(vm_dir), print_host_facts(facts));
}

#if defined(__x86_64__)

Result<uint64_t> find_tsc_khz() {
  for (const auto find : {tsc_of_kernel, tsc_of_crystal, tsc_of_hypervisor, measure_tsc}) {
    if (const uint64_t khz = find(); khz != 0) return khz;
  }
  return fail(ErrorCode::kUnsupported, "the frequency of the time stamp counter can't be measured");
}

std::string processor_identity() {
  // Leaf 1's ebx has the number of the processor that answers.
  const Leaf vendor = cpuid(0);
  const Leaf model = cpuid(1);
  const Leaf features = cpuid(7);
  const Leaf extended = cpuid(0x80000001);
  const auto microcode = read_file("/sys/devices/system/cpu/cpu0/microcode/version", kMaxRecord);
  return fmt::format("{:x}.{:x}.{:x} {:x} {:x}.{:x} {:x}.{:x}.{:x} {:x}.{:x} {}", vendor.ebx,
                     vendor.ecx, vendor.edx, model.eax, model.ecx, model.edx, features.ebx,
                     features.ecx, features.edx, extended.ecx, extended.edx,
                     microcode ? trim(*microcode) : std::string_view("-"));
}

#else

Result<uint64_t> find_tsc_khz() {
  return fail(ErrorCode::kUnsupported, "this processor has no time stamp counter");
}

std::string processor_identity() {
  return "-";
}

#endif

}  // namespace trivet::payload::microvm
