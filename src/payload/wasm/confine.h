// What a Wasm container's shell does without, compared with what was asked for.
#pragma once

#include <string>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::payload::wasm {

// For the container's init: no capabilities, no_new_privs, no proc or sysfs (through
// /proc/self/mem a module could write its host's memory), a read-only root when the module can't
// write to files. `root` is the root's directory on the host, empty when it is made of layers;
// sources of mounts are relative to `bundle`. kInvalidArgument: the root or a bind mount brings a
// proc in, itself or mounted below it.
Result<> confine(oci::Spec& spec, const std::string& root, const std::string& bundle,
                 bool writes_files);

// The same for a process that joins it.
void confine(oci::Process& process);

}  // namespace trivet::payload::wasm
