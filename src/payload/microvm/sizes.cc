#include "payload/microvm/sizes.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/text.h"
#include "linux/bit_list.h"

namespace trivet::payload::microvm {

namespace {

constexpr const char* kCpusAnnotation = "krun.cpus";
constexpr const char* kMemoryAnnotation = "krun.ram_mib";
constexpr uint64_t kMib = uint64_t{1} << 20U;
constexpr uint64_t kDefaultPeriod = 100'000;  // microseconds, the kernel's

std::optional<std::string> find_annotation(const oci::Spec& spec, const char* name) {
  const auto entry = spec.annotations.find(name);
  if (entry == spec.annotations.end()) return std::nullopt;
  return entry->second;
}

Result<double> parse_amount(const std::string& text, const char* name) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value > 0)) {
    return fail(ErrorCode::kInvalidArgument, "annotation {}: \"{}\" is no number above 0", name,
                text);
  }
  return value;
}

Result<uint32_t> limited_vcpus(uint64_t wanted, uint32_t limit, std::string_view source) {
  if (wanted >= 1 && wanted <= limit) return static_cast<uint32_t>(wanted);
  return fail(ErrorCode::kLimitExceeded, "{}: {} CPUs, but a microVM has 1 to {}", source, wanted,
              limit);
}

Result<uint64_t> limited_memory(uint64_t mib, uint64_t most, std::string_view source) {
  if (mib >= kMinMemoryMib && mib <= most) return mib;
  return fail(ErrorCode::kLimitExceeded, "{}: {} MiB of memory, but a microVM has {} to {} MiB",
              source, mib, kMinMemoryMib, most);
}

// As many as can run at once under the limits, at least one.
Result<std::optional<uint64_t>> cpus_of_limits(const oci::Spec& spec) {
  const auto& resources = spec.linux_config->resources;
  if (!resources || !resources->cpu) return std::optional<uint64_t>{};
  const oci::CpuResources& cpu = *resources->cpu;
  std::optional<uint64_t> count;
  if (cpu.quota && *cpu.quota > 0) {
    const uint64_t period = cpu.period.value_or(kDefaultPeriod);
    count = (static_cast<uint64_t>(*cpu.quota) + period - 1) / period;
  }
  if (!cpu.cpus.empty()) {
    const auto listed = TRY_IN(parse_bit_list(cpu.cpus), "linux.resources.cpu.cpus");
    const uint64_t cpus = count_bits(listed);
    count = std::min(count.value_or(cpus), cpus);
  }
  return count;
}

Result<uint32_t> plan_vcpus(const oci::Spec& spec, const SizeLimits& limits) {
  if (const auto text = find_annotation(spec, kCpusAnnotation)) {
    const double cpus = std::ceil(TRY(parse_amount(*text, kCpusAnnotation)));
    return limited_vcpus(static_cast<uint64_t>(std::min(cpus, 1e6)), limits.annotated_vcpus,
                         fmt::format("annotation {}", kCpusAnnotation));
  }
  if (spec.vm && spec.vm->hw_config && spec.vm->hw_config->vcpus) {
    return limited_vcpus(*spec.vm->hw_config->vcpus, limits.vcpus, "vm.hwConfig.vcpus");
  }
  const auto count = TRY(cpus_of_limits(spec));
  if (!count) return kDefaultVcpus;
  return limited_vcpus(*count, limits.vcpus, "linux.resources.cpu");
}

Result<uint64_t> plan_memory(const oci::Spec& spec, uint64_t most) {
  if (const auto text = find_annotation(spec, kMemoryAnnotation)) {
    const double mib = std::ceil(TRY(parse_amount(*text, kMemoryAnnotation)));
    return limited_memory(static_cast<uint64_t>(std::min(mib, 1e9)), most,
                          fmt::format("annotation {}", kMemoryAnnotation));
  }
  if (spec.vm && spec.vm->hw_config && spec.vm->hw_config->memory) {
    return limited_memory((*spec.vm->hw_config->memory + kMib - 1) / kMib, most,
                          "vm.hwConfig.memory");
  }
  const auto& resources = spec.linux_config->resources;
  const auto limit = resources && resources->memory ? resources->memory->limit : std::nullopt;
  if (!limit || *limit <= 0) return std::min(kDefaultMemoryMib, most);
  const uint64_t mib = (static_cast<uint64_t>(*limit) + kMib - 1) / kMib;
  return limited_memory(std::max(mib, kMinMemoryMib), most, "linux.resources.memory.limit");
}

}  // namespace

Result<SizeLimits> size_limits(const std::map<std::string, std::string>& annotations) {
  SizeLimits limits;
  if (const auto entry = annotations.find(kMaxCpusAnnotation); entry != annotations.end()) {
    constexpr int64_t kMost = 255;
    const int64_t cpus = TRY_IN(parse_int(entry->second), "annotation {}", kMaxCpusAnnotation);
    if (cpus < 1 || cpus > kMost) {
      return fail(ErrorCode::kInvalidArgument, "annotation {}: {} is not between 1 and {}",
                  kMaxCpusAnnotation, cpus, kMost);
    }
    limits.vcpus = limits.annotated_vcpus = static_cast<uint32_t>(cpus);
  }
  if (const auto entry = annotations.find(kMaxMemoryAnnotation); entry != annotations.end()) {
    const int64_t bytes = TRY_IN(parse_size(entry->second), "annotation {}", kMaxMemoryAnnotation);
    limits.memory_mib = static_cast<uint64_t>(bytes) / kMib;
  }
  return limits;
}

Result<Sizes> plan_sizes(const oci::Spec& spec, const SizeLimits& limits) {
  return Sizes {
    .vcpus = TRY(plan_vcpus(spec, limits))
    , .memory_mib = TRY(plan_memory(spec, limits.memory_mib))
  };
}

}  // namespace trivet::payload::microvm
