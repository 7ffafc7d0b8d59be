// The seccomp profile of a Wasm container's shell.
#pragma once

#include "oci/spec.h"

namespace trivet::payload::wasm {

// What trivet-wasm needs from its start on, in place of the default profile, which is for programs
// of all kinds and ten times as long. Once the host has loaded the module's code it narrows this
// further by a filter of its own (wasm_host/syscall_filter.h), before anything of the module's is
// run.
[[nodiscard]] oci::Seccomp default_seccomp();

}  // namespace trivet::payload::wasm
