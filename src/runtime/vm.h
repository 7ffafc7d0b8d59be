// What microVMs are made of, for `trivet vm`: kernels are fetched, listed and removed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "runtime/home.h"
#include "trivet/engine.h"

namespace trivet::runtime {

Result<VmSetup> setup_vm(const Home& home, const VmSetupOptions& options);
Result<std::vector<VmKernelInfo>> list_vm_kernels(const Home& home);
Result<> remove_vm_kernel(const Home& home, std::string_view name);
// The document of `trivet vm info`.
Result<std::string> describe_vm(const Home& home);
// What is there of what microVMs need, for `trivet info`.
[[nodiscard]] nlohmann::ordered_json describe_vm_support(const Home& home);

}  // namespace trivet::runtime
