#include "runtime/vm.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/paths.h"
#include "payload/microvm/accelerator.h"
#include "payload/microvm/initramfs.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/support.h"
#include "payload/microvm/template_store.h"
#include "runtime/vm_fetch.h"

namespace trivet::runtime {

namespace {

namespace microvm = payload::microvm;
using OrderedJson = nlohmann::ordered_json;

std::string vm_directory(const Home& home) {
  return microvm::vm_directory(home.directories.data);
}

VmKernelInfo describe_kernel(const microvm::Kernel& kernel) {
  VmKernelInfo info{.id = kernel.id,
                    .release = kernel.release,
                    .source = kernel.source,
                    .digest = "sha256:" + kernel.vmlinux.digest,
                    .directory = kernel.directory,
                    .acpi = kernel.acpi,
                    .current = kernel.current,
                    .size = kernel.vmlinux.identity.size};
  for (const microvm::StoredFile& module : kernel.modules) {
    const std::string name = module.path.substr(module.path.rfind('/') + 1);
    info.modules.push_back(name.substr(0, name.rfind(".ko")));
    info.size += module.identity.size;
  }
  return info;
}

OrderedJson describe_part(const microvm::Part& part) {
  OrderedJson object = {{"available", part.available}};
  if (part.available) {
    object["found"] = part.found;
    return object;
  }
  object["required"] = part.required;
  object["reason"] = part.reason;
  if (!part.hint.empty()) object["hint"] = part.hint;
  return object;
}

OrderedJson describe_guest(const std::string& directory) {
  const auto guest = microvm::find_guest(directory, find_companion("trivet-vminit"));
  if (!guest) return nullptr;
  return {{"kernel", guest->kernel},
          {"release", guest->kernel_release},
          {"kernel_digest", "sha256:" + guest->kernel_digest},
          {"acpi", guest->acpi},
          {"initramfs", guest->initramfs},
          {"initramfs_digest", "sha256:" + guest->initramfs_digest}};
}

OrderedJson describe_accelerator(const std::string& directory) {
  const auto chosen = microvm::choose_accelerator("auto", directory);
  if (!chosen) return nullptr;
  return {{"name", microvm::accelerator_name(chosen->accelerator)}, {"tsc_khz", chosen->tsc_khz}};
}

Result<OrderedJson> describe_templates(const std::string& directory) {
  OrderedJson list = OrderedJson::array();
  for (const auto& templates : {
         TRY(microvm::TemplateStore(directory).list())
         , TRY(microvm::warm_templates(directory).list())
       }) {
    for (const microvm::TemplateInfo& info : templates) {
      list.push_back({{"key", info.key.substr(0, 12)}, {"what", info.what}, {"bytes", info.bytes}});
    }
  }
  return list;
}

Result<uint64_t> disk_usage_of(const std::string& directory) {
  return exists(directory) ? disk_usage(AT_FDCWD, directory) : Result<uint64_t>(0);
}

bool asks_for_some_kernel(const VmSetupOptions& options) {
  return options.kernel.empty() && options.from.empty() && !options.from_source;
}

// The one that is there, if all of it is what was installed.
std::optional<microvm::Kernel> find_intact_kernel(const std::string& directory) {
  const auto kernel = microvm::current_kernel(directory);
  if (!kernel || !microvm::verify_file(*kernel, kernel->vmlinux)) return std::nullopt;
  for (const microvm::StoredFile& module : kernel->modules) {
    if (!microvm::verify_file(*kernel, module)) return std::nullopt;
  }
  return *kernel;
}

}  // namespace

Result<VmSetup> setup_vm(const Home& home, const VmSetupOptions& options) {
  const std::string directory = vm_directory(home);
  VmSetup setup;
  std::optional<microvm::Kernel> kernel;
  if (asks_for_some_kernel(options)) kernel = find_intact_kernel(directory);
  setup.was_there = kernel.has_value();
  if (!kernel) kernel = TRY(microvm::add_kernel(directory, TRY(fetch_kernel(options))));
  setup.kernel = describe_kernel(*kernel);
  // Without trivet-vminit the kernel is there all the same; what is missing is said by what needs
  // it.
  const std::string vminit = find_companion("trivet-vminit");
  if (vminit.empty()) return setup;
  // Pods have one of their own, so that a single container's machine does not unpack their program.
  TRY(microvm::find_guest(directory, vminit, find_companion("trivet-infra")));
  setup.initramfs = TRY(microvm::find_guest(directory, vminit))
  .initramfs;
  return setup;
}

Result<std::vector<VmKernelInfo>> list_vm_kernels(const Home& home) {
  std::vector<VmKernelInfo> list;
  for (const microvm::Kernel& kernel : TRY(microvm::list_kernels(vm_directory(home)))) {
    list.push_back(describe_kernel(kernel));
  }
  return list;
}

Result<> remove_vm_kernel(const Home& home, std::string_view name) {
  const std::string directory = vm_directory(home);
  TRY(microvm::remove_kernel(directory, TRY(microvm::find_kernel(directory, name))));
  return microvm::collect_initramfs(directory);
}

OrderedJson describe_vm_support(const Home& home) {
  const microvm::Support support =
      microvm::microvm_support(vm_directory(home), microvm::Depth::kAll);
  OrderedJson document = {{"available", support.available()}};
  if (!support.available()) {
    document["reason"] = support.reason();
    document["hint"] = support.hint();
  }
  OrderedJson parts = OrderedJson::object();
  for (const microvm::Part& part : support.parts) parts[part.name] = describe_part(part);
  document["parts"] = parts;
  return document;
}

Result<std::string> describe_vm(const Home& home) {
  OrderedJson document = describe_vm_support(home);
  const std::string directory = vm_directory(home);
  document["directory"] = directory;
  document["guest"] = describe_guest(directory);
  document["accelerator"] = describe_accelerator(directory);
  document["templates"] = TRY(describe_templates(directory));
  document["disks"] = {{"images", TRY(disk_usage_of(home.directories.data + "/vm/images"))},
                       {"scratch", TRY(disk_usage_of(directory + "/scratch"))}};
  return document.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace trivet::runtime
