#include "payload/microvm/support.h"

#include <algorithm>
#include <array>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/text.h"
#include "payload/microvm/accelerator.h"
#include "payload/microvm/host_tools.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/vmm_choice.h"

namespace trivet::payload::microvm {

namespace {

enum class Needed { kAlways, kSometimes };

Part absent(std::string name, Needed needed, std::string reason, std::string hint) {
  return {.name = std::move(name),
          .available = false,
          .required = needed == Needed::kAlways,
          .found = {},
          .reason = std::move(reason),
          .hint = std::move(hint)};
}

Part present(std::string name, Needed needed, std::string found) {
  return {.name = std::move(name),
          .available = true,
          .required = needed == Needed::kAlways,
          .found = std::move(found),
          .reason = {},
          .hint = {}};
}

// A program of the host; `purpose` says what there is not without it.
Part look_for_tool(const std::string& name, const std::string& path, Needed needed,
                   std::string_view purpose, std::string_view package) {
  if (!path.empty()) return present(name, needed, path);
  return absent(name, needed, fmt::format("{} is not installed: {}", name, purpose),
                fmt::format("Debian has it in the package {}", package));
}

Part look_for_companion(const std::string& name) {
  const std::string path = find_companion(name);
  if (!path.empty()) return present(name, Needed::kAlways, path);
  return absent(name, Needed::kAlways, fmt::format("the program {} is not installed", name),
                "it belongs beside trivet, or into libexec/trivet");
}

// "QEMU emulator version 7.2.22 (Debian …)" as "7.2.22 (Debian …)".
std::string qemu_version(const std::string& path) {
  constexpr std::string_view kWords = "version ";
  const auto output = run_program({path, "--version"}, {.timeout = std::chrono::seconds(10)});
  if (!output || !output->ok()) return {};
  const std::string line = split(output->stdout_text, '\n').front();
  const size_t at = line.find(kWords);
  return at == std::string::npos ? std::string() : line.substr(at + kWords.size());
}

Part look_for_qemu(Depth depth) {
  const std::string path = find_host_tool("qemu-system-x86_64");
  Part part = look_for_tool("qemu", path, Needed::kAlways, "it is the machine", "qemu-system-x86");
  if (!part.available || depth == Depth::kPresence) return part;
  const std::string version = qemu_version(path);
  if (!version.empty()) part.found = fmt::format("{}, {}", path, version);
  return part;
}

Part look_for_kernel(const std::string& vm_dir) {
  const auto kernel = current_kernel(vm_dir);
  if (!kernel) {
    return absent("kernel", Needed::kAlways, kernel.error().message(), kernel.error().hint_text());
  }
  return present("kernel", Needed::kAlways, fmt::format("{} ({})", kernel->release, kernel->id));
}

Part look_for_kvm(const std::string& vm_dir, Depth depth) {
  KvmProbe probe;
  if (depth == Depth::kAll) {
    probe = known_kvm(vm_dir);
  } else if (access("/dev/kvm", R_OK | W_OK) == 0) {
    probe.state = KvmProbe::State::kUsable;
  } else {
    probe =
        describe_kvm(errno == ENOENT ? KvmProbe::State::kMissing : KvmProbe::State::kNoPermission);
  }
  if (probe.usable()) return present("kvm", Needed::kSometimes, "/dev/kvm");
  return absent("kvm", Needed::kSometimes,
                probe.reason + "; microVMs are emulated in software, which is slow", probe.hint);
}

Part look_for_libkrun() {
  const auto files = find_krun_files();
  if (files) return present("libkrun", Needed::kSometimes, files->library);
  return absent("libkrun", Needed::kSometimes,
                files.error().message() + ": there is no --vmm libkrun", files.error().hint_text());
}

}  // namespace

bool Support::available() const {
  return std::ranges::all_of(parts,
                             [](const Part& part) { return part.available || !part.required; });
}

std::string Support::reason() const {
  std::vector<std::string> reasons;
  for (const Part& part : parts) {
    if (part.required && !part.available) reasons.push_back(part.reason);
  }
  return join(reasons, "; ");
}

std::string Support::hint() const {
  for (const Part& part : parts) {
    if (part.required && !part.available) return part.hint;
  }
  return {};
}

std::string find_virtiofsd() {
  for (const char* path : {"/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd",
                           "/usr/lib/virtiofsd", "/usr/bin/virtiofsd"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return find_host_tool("virtiofsd");
}

Support microvm_support(const std::string& vm_dir, Depth depth) {
  Support support;
  support.parts = {
      look_for_qemu(depth),
      look_for_kernel(vm_dir),
      look_for_companion("trivet-vmm"),
      look_for_companion("trivet-vminit"),
      look_for_tool("mkfs.erofs", find_host_tool("mkfs.erofs"), Needed::kAlways,
                    "images can't be made disks", "erofs-utils"),
      look_for_tool("mke2fs", find_host_tool("mke2fs"), Needed::kAlways,
                    "there is no writable disk", "e2fsprogs"),
      look_for_tool("virtiofsd", find_virtiofsd(), Needed::kSometimes,
                    "no volumes and no bundles of other engines", "qemu-system-common"),
      look_for_tool("passt", find_host_tool("passt"), Needed::kSometimes, "there is no network",
                    "passt"),
      look_for_kvm(vm_dir, depth),
      look_for_libkrun(),
  };
  return support;
}

}  // namespace trivet::payload::microvm
