// Kernels as distributions ship them: packages, compressed images, directories of modules.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "payload/microvm/kernel_store.h"

namespace trivet::runtime {

// What a package or a directory has, before a guest's part is chosen from it.
struct KernelSource {
  std::string image;                           // vmlinux or bzImage
  std::string config;                          // as it was built; may be empty
  std::map<std::string, std::string> modules;  // by name, uncompressed
  std::set<std::string> built_in;
};

// A Debian package of a kernel (linux-image-…). kCorrupt when it has no kernel.
Result<KernelSource> read_kernel_package(const std::string& path);
// The modules and modules.builtin below a directory, such as /lib/modules/RELEASE.
Result<> add_modules(const std::string& directory, KernelSource& source);

// The vmlinux in `image`, decompressed if need be.
Result<std::string> extract_vmlinux(std::string_view image);

// The files of a guest: the vmlinux, and of the modules those that it needs, unsigned.
Result<payload::microvm::KernelFiles> choose_files(KernelSource source, const std::string& name);

}  // namespace trivet::runtime
