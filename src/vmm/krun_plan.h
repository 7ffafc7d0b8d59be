// From a job to the calls of libkrun's functions that make the machine, as words for trivet-krun
// (krun/calls.h): a pure function.
//
// The guest is that of QEMU: kernel, initramfs, disks by descriptor, a virtio-serial port for the
// agent, a serial port for the console. The kernel finds its devices by the command line, which
// libkrun completes. What a job for libkrun can't ask for: payload/microvm/vmm_choice.h.
#pragma once

#include "vmm/vmm_plan.h"

namespace trivet::vmm {

[[nodiscard]] VmmPlan plan_krun(const Job& job, const VmmEnds& ends);

}  // namespace trivet::vmm
