#include "payload/wasm/engine_id.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

namespace trivet::payload::wasm {

namespace {

#if defined(__x86_64__)
uint64_t processor_features() {
  uint64_t mark = 0;
  const auto mix = [&mark](uint32_t word) { mark = (mark ^ word) * 0x100'0000'01B3 + 1; };
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  // Leaf 1: without OSXSAVE's neighbours in ebx, which name the core we run on.
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) {
    mix(ecx);
    mix(edx);
  }
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
    mix(ebx);
    mix(ecx);
  }
  if (__get_cpuid(0x8000'0001, &eax, &ebx, &ecx, &edx) != 0) mix(ecx);
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
