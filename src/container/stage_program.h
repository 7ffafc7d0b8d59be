// The stage, embedded at build time.
#pragma once

#include <string_view>

namespace trivet::container {

// An ELF executable, static and freestanding.
[[nodiscard]] std::string_view stage_program();

}  // namespace trivet::container
