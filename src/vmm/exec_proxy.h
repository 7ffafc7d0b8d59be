// `exec`: a process in the shell of a running VM that stands for a program in the guest.
#pragma once

#include "payload/microvm/job.h"

namespace trivet::vmm {

// To the program's end; its exit code. Why it could not be executed is said in the conversation.
int run_exec(const payload::microvm::ExecJob& job);

}  // namespace trivet::vmm
