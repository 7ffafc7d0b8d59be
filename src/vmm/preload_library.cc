#include "vmm/preload_library.h"

__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "trivet_preload_begin:\n"
    ".incbin \"" TRIVET_PRELOAD_PATH
    "\"\n"
    "trivet_preload_end:\n"
    ".byte 0\n"
    ".text\n");

extern "C" const char trivet_preload_begin[];  // NOLINT
extern "C" const char trivet_preload_end[];    // NOLINT

namespace trivet::vmm {

std::string_view preload_library() {
  return {trivet_preload_begin, static_cast<size_t>(trivet_preload_end - trivet_preload_begin)};
}

}  // namespace trivet::vmm
