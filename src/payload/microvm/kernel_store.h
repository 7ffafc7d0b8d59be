// Guest kernels on disk, in the directory of what microVMs are made of ($TRIVET_VM_DIR or DATA/vm):
//
//   kernels/ID/vmlinux, modules/NAME.ko   as they are loaded
//   kernels/ID/kernel.json                what they are, their digests and identities
//   current                               a link to the kernel that guests get
//   initramfs/                            see initramfs.h
//
// ID is the beginning of the kernel's digest. A kernel appears and goes by rename, under `lock`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "payload/microvm/file_identity.h"

namespace trivet::payload::microvm {

// $TRIVET_VM_DIR, or DATA/vm.
[[nodiscard]] std::string vm_directory(const std::string& data_dir);

struct StoredFile {
  std::string path;  // relative to the kernel's directory
  std::string digest;
  FileIdentity identity;
};

struct Kernel {
  std::string id;
  std::string directory;
  std::string release;  // `uname -r`
  std::string source;   // the package or file it came from
  bool acpi = true;     // it finds its devices through ACPI
  StoredFile vmlinux;
  std::vector<StoredFile> modules;  // in the order in which they are loaded
  bool current = false;
};

// A kernel that is not stored yet.
struct KernelFiles {
  std::string release;
  std::string source;
  bool acpi = true;
  std::string vmlinux;
  std::vector<std::pair<std::string, std::string>> modules;  // name and object, in order
};

// Stores the kernel, in place of the same one, and makes it the current one. Makes the directory
// when it is missing; leaves nothing on failure.
Result<Kernel> add_kernel(const std::string& vm_dir, const KernelFiles& files);

// All of them, the current one first. What is damaged is left out.
Result<std::vector<Kernel>> list_kernels(const std::string& vm_dir);
// The current one; kUnsupported, with a hint, when there is none. Nothing of its files is checked.
Result<Kernel> current_kernel(const std::string& vm_dir);
// By id or a prefix of it, or by release. kNotFound, kInvalidArgument when several match.
Result<Kernel> find_kernel(const std::string& vm_dir, std::string_view name);
// When it was the current one, the newest of the others is. What was made of it stays for
// collect_initramfs().
Result<> remove_kernel(const std::string& vm_dir, const Kernel& kernel);

// That the file is the recorded one, by its identity, else by its digest, which is then recorded
// with the new identity. kDigestMismatch with a hint.
Result<> verify_file(const Kernel& kernel, const StoredFile& file);
// The same, with its content.
Result<std::string> read_verified(const Kernel& kernel, const StoredFile& file);

// Held while something in the directory is made or removed.
Result<FileLock> lock_vm_directory(const std::string& vm_dir);

[[nodiscard]] std::string print_kernel(const Kernel& kernel);
Result<Kernel> parse_kernel(std::string_view text);

}  // namespace trivet::payload::microvm
