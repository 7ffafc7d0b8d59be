// Which program is a microVM's machine: QEMU, or libkrun, which has to be asked for.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::payload::microvm {

enum class Vmm { kQemu, kLibkrun };
[[nodiscard]] const char* vmm_name(Vmm vmm);  // "qemu", "libkrun"

// The annotation, and the option of the command line, that ask for one.
inline constexpr const char* kVmmAnnotation = "dev.trivet.vm.vmm";

// kInvalidArgument: an unknown name.
Result<Vmm> parse_vmm(std::string_view name);

// Where the library is installed, or what the variable TRIVET_LIBKRUN names; empty: nowhere.
[[nodiscard]] std::string find_libkrun();

// The library and the program that loads it. kUnsupported, with a hint, when one is missing.
struct KrunFiles {
  std::string library;
  std::string program;  // trivet-krun
};
Result<KrunFiles> find_krun_files();

// The only accelerator there is, "kvm", for what was asked for: kUnsupported for another.
Result<std::string> krun_accelerator(std::string_view request);

// What a machine is to have that libkrun's can't: kUnsupported, with the way out.
struct KrunNeeds {
  bool shares_files = false;
  bool has_own_network = true;  // and not that of a namespace
};
Result<> check_krun(const KrunNeeds& needs);

// Its machine has no ACPI, so that it takes a kernel which finds its devices otherwise.
Result<> check_krun_kernel(bool needs_acpi, std::string_view release);

}  // namespace trivet::payload::microvm
