// The programs that host other payloads, trivet-wasm and trivet-vmm: files of the host that are
// executed inside containers.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::payload {

// An O_PATH descriptor to execute `path` by. Where this process may make mounts, it refers to a
// read-only mount that is nowhere in the tree, so that what the container can reach through
// /proc/PID/exe can't be written to (the class of CVE-2019-5736).
Result<UniqueFd> open_host_program(const std::string& path);

}  // namespace trivet::payload
