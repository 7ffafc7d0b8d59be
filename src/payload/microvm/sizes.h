// How large a microVM is. First match wins, for each of the two: crun's annotations krun.cpus and
// krun.ram_mib; vm.hwConfig; the container's limits; the defaults.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::payload::microvm {

inline constexpr uint32_t kDefaultVcpus = 1;
inline constexpr uint32_t kMaxVcpus = 8;
inline constexpr uint32_t kMaxAnnotatedVcpus = 16;  // krun.cpus, as crun has it
inline constexpr uint64_t kDefaultMemoryMib = 512;
inline constexpr uint64_t kMaxMemoryMib = 4096;
// With less the guest's kernel does not come up. A limit below is kept by the guest's own cgroup.
inline constexpr uint64_t kMinMemoryMib = 128;

struct Sizes {
  uint32_t vcpus = kDefaultVcpus;
  uint64_t memory_mib = kDefaultMemoryMib;
  friend bool operator==(const Sizes&, const Sizes&) = default;
};

// How large one may be.
struct SizeLimits {
  uint32_t vcpus = kMaxVcpus;
  uint32_t annotated_vcpus = kMaxAnnotatedVcpus;  // for krun.cpus
  uint64_t memory_mib = kMaxMemoryMib;
  friend bool operator==(const SizeLimits&, const SizeLimits&) = default;
};

// What a host's configuration has changed of that travels with a container of trivet's own in
// these. An engine's container has the standard: who writes its annotations is not who owns the
// host.
inline constexpr const char* kMaxCpusAnnotation = "dev.trivet.vm.max-cpus";
inline constexpr const char* kMaxMemoryAnnotation = "dev.trivet.vm.max-memory";  // "8g"
// kInvalidArgument: an annotation that says no size.
Result<SizeLimits> size_limits(const std::map<std::string, std::string>& annotations);

// kInvalidArgument: an annotation that is no number; kLimitExceeded: more than a VM may have, or an
// explicit size that a guest can't live with. Errors name where the size comes from.
Result<Sizes> plan_sizes(const oci::Spec& spec, const SizeLimits& limits = {});

}  // namespace trivet::payload::microvm
