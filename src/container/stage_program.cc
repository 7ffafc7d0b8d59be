#include "container/stage_program.h"

__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "trivet_stage_begin:\n"
    ".incbin \"" TRIVET_STAGE_PATH
    "\"\n"
    "trivet_stage_end:\n"
    ".byte 0\n"
    ".text\n");

extern "C" const char trivet_stage_begin[];  // NOLINT
extern "C" const char trivet_stage_end[];    // NOLINT

namespace trivet::container {

std::string_view stage_program() {
  return {trivet_stage_begin, static_cast<size_t>(trivet_stage_end - trivet_stage_begin)};
}

}  // namespace trivet::container
