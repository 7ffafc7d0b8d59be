// A further program in a running container.
#pragma once

#include "base/result.h"
#include "runtime/home.h"
#include "runtime/observe.h"
#include "trivet/engine.h"

namespace trivet::runtime {

Result<AttachResult> exec_in_container(const Home& home, const Observed& observed,
                                       const ExecOptions& options);

// With the streams and the limits of a library's caller; the exit code.
Result<int> exec_over_streams(const Home& home, const Observed& observed,
                              const ExecCommand& command, const ExecStdio& stdio);

// The process of an exec: the container's own, changed by the options. `root` is a path to the
// container's root directory, where users are looked up.
Result<oci::Process> plan_exec(const oci::Process& own, const ExecOptions& options,
                               const std::string& root);

}  // namespace trivet::runtime
