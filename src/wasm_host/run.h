// `trivet-wasm` as a container's init or exec'd process: argv and the environment are the
// program's.
#pragma once

#include <string>
#include <vector>

#include "payload/wasm/job.h"

namespace trivet::wasm_host {

struct Program {
  std::vector<std::string> args;
  std::vector<std::string> env;
};

// Returns the exit code. What goes wrong is said on stderr, which is the container's.
int run_job(const payload::wasm::Job& job, const Program& program);

}  // namespace trivet::wasm_host
