// The initramfs of guests, and what a guest is booted from.
//
//   initramfs/DIGEST.cpio     /init (trivet-vminit), /modules/NAME.ko, /modules/list: file names of
//                             modules, one a line, in the order in which they are loaded;
//                             in that of a pod's machine /trivet-infra
//   initramfs/for-KEY.json    which one belongs to a kernel and the programs, with its identity
//
// It is made when it is first asked for, and anew when the programs or the kernel change.
#pragma once

#include <string>

#include "base/result.h"
#include "payload/microvm/kernel_store.h"

namespace trivet::payload::microvm {

// What a guest is booted from. The files are verified.
struct Guest {
  std::string kernel;  // path of a vmlinux
  std::string kernel_digest;
  std::string kernel_id;
  std::string kernel_release;
  bool acpi = true;
  std::string initramfs;  // path
  std::string initramfs_digest;
};

// From the directory of vm_directory() and the installed programs, see find_companion(); the path
// of one that is not installed is empty, and so is `infra` for a machine of a single container.
// kUnsupported, with a hint, when there is no kernel or no trivet-vminit. Some ten microseconds
// when nothing has changed.
Result<Guest> find_guest(const std::string& vm_dir, const std::string& vminit,
                         const std::string& infra = {});

// Removes the archives of kernels that are gone, and more than a few old ones.
Result<> collect_initramfs(const std::string& vm_dir);

// The archive itself. Pure: what is in it comes in the arguments.
struct InitramfsModule {
  std::string file_name;
  std::string object;
};
[[nodiscard]] std::string make_initramfs(std::string_view vminit,
                                         const std::vector<InitramfsModule>& modules,
                                         std::string_view infra = {});

}  // namespace trivet::payload::microvm
