// How the processor of a microVM is made: by the host's (KVM), or in software (TCG).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "payload/microvm/kvm_probe.h"

namespace trivet::payload::microvm {

enum class Accelerator { kKvm, kTcg };
[[nodiscard]] const char* accelerator_name(Accelerator accelerator);  // "kvm", "tcg"

struct Acceleration {
  Accelerator accelerator = Accelerator::kTcg;
  std::string warning;   // why it is not KVM, where nobody asked for software; may be empty
  uint64_t tsc_khz = 0;  // of the host; a guest in software has the same, and must be told
};

// The annotation, and the option of the command line, that ask for one.
inline constexpr const char* kAcceleratorAnnotation = "dev.trivet.vm.accel";

// `request` is "kvm", "tcg", or "auto" (also when it is empty): KVM where it is usable. What is
// found out is kept in `vm_dir` until the next boot; the first time takes some 15 ms. Errors:
// kInvalidArgument for another request, kUnsupported when KVM was asked for and is not usable.
Result<Acceleration> choose_accelerator(std::string_view request, const std::string& vm_dir);

// The probe of KVM, or what it has said since this boot.
KvmProbe known_kvm(const std::string& vm_dir);

}  // namespace trivet::payload::microvm
