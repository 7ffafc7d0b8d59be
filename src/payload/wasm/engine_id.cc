#include "payload/wasm/engine_id.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

#if defined(__x86_64__)
#include <sys/platform/x86.h>
#else
#include <sys/auxv.h>
#endif

namespace trivet::payload::wasm {

namespace {

#if defined(__x86_64__)
// As libc has read them: in a virtual machine each cpuid instruction leaves the guest.
uint64_t processor_features() {
  uint64_t mark = 0;
  for (const unsigned leaf : {CPUID_INDEX_1, CPUID_INDEX_7, CPUID_INDEX_80000001}) {
    const cpuid_feature* feature = __x86_get_cpuid_feature_leaf(leaf);
    for (const unsigned word : feature->active_array) {
      mark = (mark ^ word) * 0x100'0000'01B3 + 1;
    }
  }
  return mark;
}
#else
uint64_t processor_features() {
  return getauxval(AT_HWCAP) * 31 + getauxval(AT_HWCAP2);
}
#endif

}  // namespace

std::string engine_id() {
  return fmt::format("{}-{:016x}", TRIVET_WASMTIME_VERSION, processor_features());
}

}  // namespace trivet::payload::wasm
