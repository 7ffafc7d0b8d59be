// "vm" (runtime-spec config-vm.md). Go writes the objects even when they are not set, with empty
// paths: an object without a path is absent.
#include "oci/spec_names.h"
#include "oci/spec_parse.h"

namespace trivet::oci {

namespace {

// Reads the object `key` with its path and its parameters, if there is one.
template <typename T>
Result<> read_program(const Field& vm, std::string_view key, std::optional<T>& out) {
  const Field field = TRY(vm.find(key));
  if (!field) return {};
  T program;
  TRY(field.read("path", program.path));
  TRY(field.read("parameters", program.parameters));
  if (program.path.empty() && program.parameters.empty()) return {};
  TRY(check_absolute(field.at("path"), program.path));
  out = std::move(program);
  return {};
}

Result<> read_initrd(const Field& vm, Vm& out) {
  const Field field = TRY(vm.find("kernel"));
  if (!field) return {};
  std::string initrd;
  TRY(field.read("initrd", initrd));
  if (initrd.empty()) return {};
  TRY(check_absolute(field.at("initrd"), initrd));
  if (!out.kernel) return field.at("path").invalid("missing");
  out.kernel->initrd = std::move(initrd);
  return {};
}

Result<> read_image(const Field& vm, std::optional<VmImage>& out) {
  const Field field = TRY(vm.find("image"));
  if (!field) return {};
  VmImage image;
  TRY(field.read("path", image.path));
  TRY(field.read("format", image.format));
  if (image.path.empty() && image.format.empty()) return {};
  TRY(check_absolute(field.at("path"), image.path));
  if (image.format.empty()) image.format = "raw";
  TRY(check_known(field.at("format"), image.format, known_vm_image_formats()));
  out = std::move(image);
  return {};
}

Result<VmIoMemory> read_io_memory(const Field& field) {
  VmIoMemory memory;
  TRY(field.read("firstGFN", memory.first_gfn));
  TRY(field.read_required("firstMFN", memory.first_mfn));
  TRY(field.read_required("nrMFNs", memory.page_count));
  return memory;
}

Result<VmHwConfig> read_hw_config(const Field& field) {
  VmHwConfig config;
  TRY(field.read("deviceTree", config.device_tree));
  TRY(field.read("vcpus", config.vcpus));
  if (config.vcpus == 0) return field.at("vcpus").invalid("must be greater than zero");
  TRY(field.read("memory", config.memory));
  if (config.memory == 0) return field.at("memory").invalid("must be greater than zero");
  TRY(field.read("dtdevs", config.dt_devices));
  TRY(field.read("iomems", config.io_memory, read_io_memory));
  TRY(field.read("irqs", config.irqs));
  return config;
}

}  // namespace

Result<Vm> read_vm(const Field& field) {
  Vm vm;
  TRY(read_program(field, "hypervisor", vm.hypervisor));
  TRY(read_program(field, "kernel", vm.kernel));
  TRY(read_initrd(field, vm));
  TRY(read_image(field, vm.image));
  // The prose says hwConfig; the Go type, which most callers print, says hwconfig.
  TRY(field.read("hwconfig", vm.hw_config, read_hw_config));
  TRY(field.read("hwConfig", vm.hw_config, read_hw_config));
  return vm;
}

}  // namespace trivet::oci
