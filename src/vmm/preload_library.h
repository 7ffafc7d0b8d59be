// The library that is preloaded into QEMU (preload/open_by_number.cc), embedded at build time.
#pragma once

#include <string_view>

namespace trivet::vmm {

[[nodiscard]] std::string_view preload_library();

}  // namespace trivet::vmm
