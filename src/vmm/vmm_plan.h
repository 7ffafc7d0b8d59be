// What the supervisor starts to have a machine: QEMU (qemu_plan.h), or trivet-krun with libkrun
// (krun_plan.h). Both are pure functions of a job, and each program is confined and watched in the
// same way: nobody, without capabilities; its end is the machine's.
//
// What a machine is asked to do while it runs goes another way: the guest's agent turns it off, the
// cgroup stops it for a while, and the end of its pid namespace kills it. Only saving and restoring
// takes a program that listens: QEMU does, on QMP.
#pragma once

#include <string>
#include <vector>

#include "base/process.h"
#include "payload/microvm/job.h"

namespace trivet::vmm {

using payload::microvm::Job;

// What backs one virtio-net device.
struct NetBackend {
  enum class Kind { kStream, kTap };
  Kind kind = Kind::kStream;
  int fd = -1;
};

// Descriptors of ours that the program gets, besides those of the job.
struct VmmEnds {
  int qmp = -1;
  int agent = -1;
  int console = -1;
  int share = -1;    // a connection to virtiofsd
  int preload = -1;  // preload_library(); used with `saved`
  std::vector<NetBackend> network;
};

struct VmmPlan {
  const char* name = "";  // for people
  std::vector<std::string> argv;
  std::vector<InheritedFd> inherited;
  std::vector<std::string> env;
  bool listens = false;   // on `ends.qmp`
  int state_number = -1;  // of the state to be restored, as the program has it

  // The program's number of a descriptor of ours.
  int give(int fd);
};

// Files of the jail.
inline constexpr const char* kKernel = "/vm/kernel";
inline constexpr const char* kInitramfs = "/vm/initramfs";

// The kernel's command line, but for what depends on how it is emulated; `reboot` is the way in
// which it ends the machine (kernel-parameters.txt, "reboot=").
[[nodiscard]] std::string kernel_words(char reboot);

[[nodiscard]] bool restores(const Job& job);

[[nodiscard]] VmmPlan plan_vmm(const Job& job, const VmmEnds& ends);

}  // namespace trivet::vmm
