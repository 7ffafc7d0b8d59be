// Text for another program, in memory that nobody can change any more.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// MFD_EXEC, which older headers lack (since Linux 6.3).
inline constexpr unsigned kExecutableMemfd = 0x10;

// A memfd (memfd_create(2)) with `content`, sealed against every change. `flags`: kExecutableMemfd
// for a program.
Result<UniqueFd> sealed_memfd(const char* name, std::string_view content, unsigned flags = 0);

}  // namespace trivet
