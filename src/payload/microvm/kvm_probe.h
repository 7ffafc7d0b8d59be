// Whether /dev/kvm can run a kernel. That it is there and can be opened says little: where KVM is
// itself under a hypervisor without hardware support, code of ring 0 is interpreted, a thousand
// times slower than software emulation of the whole machine, and stops at instructions that are not
// known.
#pragma once

#include <string>

#include "base/result.h"

namespace trivet::payload::microvm {

struct KvmProbe {
  enum class State {
    kUsable,
    kMissing,        // no such device
    kNoPermission,   // this user can't open it
    kNotForKernels,  // it opens, but does not run a kernel's code as hardware does
    kFailed,         // something else went wrong
  };
  State state = State::kFailed;
  std::string reason;  // for people; empty when it is usable
  std::string hint;    // what they can do; may be empty

  [[nodiscard]] bool usable() const { return state == State::kUsable; }
  // Whether another probe before the next boot would say the same.
  [[nodiscard]] bool is_lasting() const {
    return state == State::kUsable || state == State::kNotForKernels;
  }
};

// Makes a machine of one page of code in a child process, which has a limit on its time: some
// milliseconds, never more than half a second, and nothing can happen to the caller.
KvmProbe probe_kvm(const std::string& device = "/dev/kvm");

// The words for a state found by an earlier probe.
KvmProbe describe_kvm(KvmProbe::State state, const std::string& device = "/dev/kvm");

}  // namespace trivet::payload::microvm
