// config.json from a Spec: the top, "process" and "vm".
#include "oci/spec_print.h"

namespace trivet::oci {

namespace {

constexpr unsigned kIndent = 4;  // as crun

void write_console_size(JsonWriter& writer, const ConsoleSize& size) {
  writer.member("height", size.height);
  writer.member("width", size.width);
}

void write_user(JsonWriter& writer, const User& user) {
  writer.member("uid", user.uid);
  writer.member("gid", user.gid);
  writer.optional_member("umask", user.umask);
  writer.optional_member("additionalGids", user.additional_gids);
}

void write_capabilities(JsonWriter& writer, const Capabilities& sets) {
  writer.optional_member("bounding", sets.bounding);
  writer.optional_member("effective", sets.effective);
  writer.optional_member("inheritable", sets.inheritable);
  writer.optional_member("permitted", sets.permitted);
  writer.optional_member("ambient", sets.ambient);
}

void write_rlimit(JsonWriter& writer, const Rlimit& rlimit) {
  writer.member("type", rlimit.type);
  writer.member("hard", rlimit.hard);
  writer.member("soft", rlimit.soft);
}

void write_scheduler(JsonWriter& writer, const Scheduler& scheduler) {
  writer.member("policy", scheduler.policy);
  writer.optional_member("nice", scheduler.nice);
  writer.optional_member("priority", scheduler.priority);
  writer.optional_member("flags", scheduler.flags);
  writer.optional_member("runtime", scheduler.runtime);
  writer.optional_member("deadline", scheduler.deadline);
  writer.optional_member("period", scheduler.period);
}

void write_io_priority(JsonWriter& writer, const IoPriority& priority) {
  writer.member("class", priority.io_class);
  writer.member("priority", priority.priority);
}

void write_cpu_affinity(JsonWriter& writer, const CpuAffinity& affinity) {
  writer.optional_member("initial", affinity.initial);
  writer.optional_member("final", affinity.final_cpus);
}

void write_process(JsonWriter& writer, const Process& process) {
  writer.optional_member("terminal", process.terminal);
  writer.object("consoleSize", process.console_size, write_console_size);
  writer.object("user", process.user, write_user);
  writer.member("args", process.args);
  writer.optional_member("env", process.env);
  writer.member("cwd", process.cwd);
  writer.object("capabilities", process.capabilities, write_capabilities);
  writer.objects("rlimits", process.rlimits, write_rlimit);
  writer.optional_member("noNewPrivileges", process.no_new_privileges);
  writer.optional_member("apparmorProfile", process.apparmor_profile);
  writer.optional_member("oomScoreAdj", process.oom_score_adj);
  writer.object("scheduler", process.scheduler, write_scheduler);
  writer.optional_member("selinuxLabel", process.selinux_label);
  writer.object("ioPriority", process.io_priority, write_io_priority);
  writer.object("execCPUAffinity", process.exec_cpu_affinity, write_cpu_affinity);
}

void write_root(JsonWriter& writer, const Root& root) {
  writer.member("path", root.path);
  writer.optional_member("readonly", root.readonly);
}

void write_mount(JsonWriter& writer, const Mount& mount) {
  writer.member("destination", mount.destination);
  writer.optional_member("type", mount.type);
  writer.optional_member("source", mount.source);
  writer.optional_member("options", mount.options);
  writer.objects("uidMappings", mount.uid_mappings, write_id_mapping);
  writer.objects("gidMappings", mount.gid_mappings, write_id_mapping);
}

void write_hook(JsonWriter& writer, const Hook& hook) {
  writer.member("path", hook.path);
  writer.optional_member("args", hook.args);
  writer.optional_member("env", hook.env);
  writer.optional_member("timeout", hook.timeout);
}

void write_hooks(JsonWriter& writer, const Hooks& hooks) {
  writer.objects("prestart", hooks.prestart, write_hook);
  writer.objects("createRuntime", hooks.create_runtime, write_hook);
  writer.objects("createContainer", hooks.create_container, write_hook);
  writer.objects("startContainer", hooks.start_container, write_hook);
  writer.objects("poststart", hooks.poststart, write_hook);
  writer.objects("poststop", hooks.poststop, write_hook);
}

void write_hypervisor(JsonWriter& writer, const VmHypervisor& hypervisor) {
  writer.member("path", hypervisor.path);
  writer.optional_member("parameters", hypervisor.parameters);
}

void write_kernel(JsonWriter& writer, const VmKernel& kernel) {
  writer.member("path", kernel.path);
  writer.optional_member("parameters", kernel.parameters);
  writer.optional_member("initrd", kernel.initrd);
}

void write_image(JsonWriter& writer, const VmImage& image) {
  writer.member("path", image.path);
  writer.member("format", image.format);
}

void write_io_memory(JsonWriter& writer, const VmIoMemory& memory) {
  writer.optional_member("firstGFN", memory.first_gfn);
  writer.member("firstMFN", memory.first_mfn);
  writer.member("nrMFNs", memory.page_count);
}

void write_hw_config(JsonWriter& writer, const VmHwConfig& config) {
  writer.optional_member("deviceTree", config.device_tree);
  writer.optional_member("vcpus", config.vcpus);
  writer.optional_member("memory", config.memory);
  writer.optional_member("dtdevs", config.dt_devices);
  writer.objects("iomems", config.io_memory, write_io_memory);
  writer.optional_member("irqs", config.irqs);
}

void write_vm(JsonWriter& writer, const Vm& vm) {
  writer.object("hypervisor", vm.hypervisor, write_hypervisor);
  writer.object("kernel", vm.kernel, write_kernel);
  writer.object("image", vm.image, write_image);
  writer.object("hwConfig", vm.hw_config, write_hw_config);
}

}  // namespace

void write_id_mapping(JsonWriter& writer, const IdMapping& mapping) {
  writer.member("containerID", mapping.container_id);
  writer.member("hostID", mapping.host_id);
  writer.member("size", mapping.size);
}

std::string print_spec(const Spec& spec, JsonLayout layout) {
  JsonWriter writer(layout == JsonLayout::kIndented ? kIndent : 0);
  writer.begin_object();
  writer.member("ociVersion", spec.oci_version);
  writer.object("process", spec.process, write_process);
  writer.object("root", spec.root, write_root);
  writer.optional_member("hostname", spec.hostname);
  writer.optional_member("domainname", spec.domainname);
  writer.objects("mounts", spec.mounts, write_mount);
  if (!spec.hooks.empty()) writer.object("hooks", spec.hooks, write_hooks);
  writer.optional_member("annotations", spec.annotations);
  writer.object("linux", spec.linux_config, write_linux);
  writer.object("vm", spec.vm, write_vm);
  writer.end_object();
  return writer.text();
}

std::string print_process(const Process& process) {
  JsonWriter writer;
  writer.begin_object();
  write_process(writer, process);
  writer.end_object();
  return writer.text();
}

}  // namespace trivet::oci
