#include "payload/microvm/vmm_choice.h"

#include <array>
#include <cstdlib>

#include "base/fs.h"
#include "base/paths.h"

namespace trivet::payload::microvm {

namespace {

std::unexpected<Error> refuse(std::string_view what, std::string_view hint) {
  return std::unexpected(Error(ErrorCode::kUnsupported, std::string(what)).hint(std::string(hint)));
}

constexpr const char* kUseQemu = "use --vmm qemu, which is the default";

}  // namespace

const char* vmm_name(Vmm vmm) {
  return vmm == Vmm::kLibkrun ? "libkrun" : "qemu";
}

Result<Vmm> parse_vmm(std::string_view name) {
  for (const Vmm vmm : {Vmm::kQemu, Vmm::kLibkrun}) {
    if (name == vmm_name(vmm)) return vmm;
  }
  return std::unexpected(Error(ErrorCode::kInvalidArgument,
                               fmt::format("unknown virtual machine monitor \"{}\"", name))
                             .hint("it is qemu or libkrun"));
}

std::string find_libkrun() {
  if (const char* path = std::getenv("TRIVET_LIBKRUN"); path != nullptr) {  // NOLINT(*-mt-unsafe)
    return exists(path) ? path : "";
  }
  constexpr std::array kPlaces{"/usr/lib/x86_64-linux-gnu/", "/usr/lib64/", "/usr/lib/",
                               "/usr/local/lib64/", "/usr/local/lib/"};
  for (const std::string place : kPlaces) {
    std::string path = place + "libkrun.so.1";
    if (exists(path)) return path;
  }
  return {};
}

Result<KrunFiles> find_krun_files() {
  KrunFiles files{.library = find_libkrun(), .program = find_companion("trivet-krun")};
  if (files.library.empty()) {
    return refuse("the library libkrun is not installed",
                  "version 1.17 or newer is needed; --vmm qemu, the default, does without");
  }
  if (files.program.empty()) {
    return refuse("the program trivet-krun is not installed",
                  "it belongs beside trivet, or into ../libexec/trivet");
  }
  return files;
}

Result<std::string> krun_accelerator(std::string_view request) {
  if (request == "tcg") return refuse("libkrun has no emulation in software", kUseQemu);
  return std::string(request.empty() || request == "auto" ? "kvm" : request);
}

Result<> check_krun(const KrunNeeds& needs) {
  // Its server of files is the machine's own process, which would need root's rights to act on
  // them.
  if (needs.shares_files) {
    return refuse("a machine by libkrun can't share directories (volumes, --rootfs, bundles)",
                  kUseQemu);
  }
  if (!needs.has_own_network) {
    return refuse("a machine by libkrun can't take over a network namespace",
                  "use --network pasta or none, or --vmm qemu");
  }
  return {};
}

Result<> check_krun_kernel(bool needs_acpi, std::string_view release) {
  if (!needs_acpi) return {};
  return refuse(
      fmt::format("the guest kernel {} finds its devices through ACPI, which libkrun's "
                  "machines don't have",
                  release),
      "`trivet vm setup --kernel-source` builds one that reads them from its command line");
}

}  // namespace trivet::payload::microvm
