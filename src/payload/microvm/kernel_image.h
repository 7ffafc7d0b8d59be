// Kernel files: what is in a bzImage, and whether a vmlinux can be booted by QEMU directly. Pure;
// decompression is the caller's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::payload::microvm {

enum class KernelFormat { kVmlinux, kBzImage, kUnknown };
[[nodiscard]] KernelFormat kernel_format(std::string_view bytes);

// The compressed kernel in a bzImage (Documentation/x86/boot.rst: payload_offset, payload_length).
struct Payload {
  std::string_view compressed;  // without the size that stands behind it
  uint64_t size = 0;            // uncompressed
};
// kCorrupt when it is no bzImage, or cut off.
Result<Payload> find_payload(std::string_view image);

// An uncompressed kernel may have as much.
inline constexpr uint64_t kMaxKernelBytes = 512ULL << 20U;

// `uname -r` of a vmlinux with an entry for direct boot (PVH). kUnsupported when it has none, or is
// not for x86-64; kCorrupt when it is no kernel.
Result<std::string> check_vmlinux(std::string_view vmlinux);

// Whether a kernel finds virtio-mmio devices through ACPI only: it was not built with
// VIRTIO_MMIO_CMDLINE_DEVICES, by which the command line can name them.
[[nodiscard]] bool needs_acpi(std::string_view vmlinux, std::string_view config);

}  // namespace trivet::payload::microvm
