// `exec`: a process in the shell of a running VM that stands for a program in the guest.
#pragma once

#include "payload/microvm/job.h"

namespace trivet::vmm {

// To the program's end; its exit code, or 125 to 127 with the words on stderr.
int run_exec(const payload::microvm::ExecJob& job);

}  // namespace trivet::vmm
