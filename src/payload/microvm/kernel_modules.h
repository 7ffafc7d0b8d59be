// Modules of a guest's kernel: which are needed, in which order they are loaded. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::payload::microvm {

// What a guest may need, in the kernel's spelling ('_' for '-').
struct WantedModule {
  const char* name;
  bool required;  // neither built in nor a module: such a kernel can't be a guest's
};
[[nodiscard]] const std::vector<WantedModule>& wanted_modules();

// "kernel/drivers/char/hw_random/virtio-rng.ko" is virtio_rng.
[[nodiscard]] std::string module_name(std::string_view path);

// What a module needs: `depends=` of its .modinfo, and `softdep=pre: …`. kCorrupt when `module` is
// no ELF64 object.
struct ModuleNeeds {
  std::vector<std::string> depends;
  std::vector<std::string> soft;  // loaded before it where they exist
};
Result<ModuleNeeds> module_needs(std::string_view module, std::string_view name);

// Without the signature that is appended to it, which costs time at loading: a kernel that doesn't
// insist on signatures loads it all the same.
[[nodiscard]] std::string_view strip_signature(std::string_view module);

// Without the sections by which a kernel debugs, traces and unwinds it: types (.BTF), the places of
// calls to ftrace, ORC tables. At loading they are parsed, sorted and patched, which is half of
// what a module costs where the processor is emulated. Something else than an ELF64 object comes
// back as it is.
[[nodiscard]] std::string trim_module(std::string_view module);

// Names in an order in which each can be loaded. `modules` has the objects by name, `built_in` is
// what the kernel has anyway. kUnsupported names what is missing.
Result<std::vector<std::string>> order_modules(const std::map<std::string, std::string>& modules,
                                               const std::set<std::string>& built_in);

// modules.builtin: a path on each line.
[[nodiscard]] std::set<std::string> parse_builtin_list(std::string_view text);

}  // namespace trivet::payload::microvm
