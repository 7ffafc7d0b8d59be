#include "payload/microvm/jail.h"

#include <array>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

namespace trivet::payload::microvm {

namespace {

// What the monitor's own memory may come to beside the guest's: QEMU, its buffer of translated code
// under software emulation, the daemon that serves files.
constexpr uint64_t kOverheadMib = 256;
// A relay's own memory, with what waits in it for slow readers.
constexpr uint64_t kMemberMib = 128;
constexpr uint64_t kMib = uint64_t{1} << 20U;

// trivet-vmm gives up what it does not need once its children run; virtiofsd keeps what it takes to
// act on files as their owners.
oci::Capabilities jail_capabilities() {
  const std::vector<std::string> names{
      "CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FOWNER",         "CAP_FSETID", "CAP_KILL",
      "CAP_MKNOD",  "CAP_NET_ADMIN",    "CAP_SETFCAP",        "CAP_SETGID", "CAP_SETPCAP",
      "CAP_SETUID", "CAP_SYS_CHROOT",   "CAP_DAC_READ_SEARCH"};
  return {.bounding = names, .effective = names, .permitted = names};
}

oci::Mount bind_read_only(const std::string& source, const std::string& destination) {
  return {.destination = destination,
          .type = "bind",
          .source = source,
          .options = {"rbind", "rprivate", "ro", "nosuid", "nodev"}};
}

// What every process of ours expects of a root.
std::vector<oci::Mount> basic_mounts() {
  return {{.destination = "/proc",
           .type = "proc",
           .source = "proc",
           .options = {"nosuid", "noexec", "nodev"}},
          {.destination = "/dev",
           .type = "tmpfs",
           .source = "tmpfs",
           .options = {"nosuid", "strictatime", "mode=755", "size=64k"}},
          {.destination = "/dev/pts",
           .type = "devpts",
           .source = "devpts",
           .options = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
          {.destination = "/run",
           .type = "tmpfs",
           .source = "tmpfs",
           .options = {"nosuid", "nodev", "noexec", "mode=755", "size=1m"}},
          {.destination = "/tmp",
           .type = "tmpfs",
           .source = "tmpfs",
           .options = {"nosuid", "nodev", "noexec", "mode=1777", "size=16m"}}};
}

std::vector<oci::Mount> jail_mounts(const JailInputs& inputs) {
  std::vector<oci::Mount> mounts = basic_mounts();
  mounts.push_back(bind_read_only("/usr", "/usr"));
  mounts.push_back(bind_read_only(inputs.kernel, "/vm/kernel"));
  mounts.push_back(bind_read_only(inputs.initramfs, "/vm/initramfs"));
  if (exists("/etc/ld.so.cache")) {
    mounts.push_back(bind_read_only("/etc/ld.so.cache", "/etc/ld.so.cache"));
  }
  if (!inputs.shares.empty()) {
    mounts.push_back({.destination = "/share",
                      .type = "tmpfs",
                      .source = "tmpfs",
                      .options = {"nosuid", "nodev", "mode=755", "size=64k"}});
  }
  mounts.insert(mounts.end(), inputs.shares.begin(), inputs.shares.end());
  return mounts;
}

struct Node {
  const char* path;
  int64_t major;
  int64_t minor;
};
constexpr Node kKvm{.path = "/dev/kvm", .major = 10, .minor = 232};
constexpr Node kTun{.path = "/dev/net/tun", .major = 10, .minor = 200};

void add_device(oci::Linux& config, const Node& node, uint32_t mode) {
  config.devices.push_back({.path = node.path,
                            .type = 'c',
                            .major = node.major,
                            .minor = node.minor,
                            .file_mode = mode});
  config.resources->devices.push_back(
      {.allow = true, .type = 'c', .major = node.major, .minor = node.minor, .access = "rw"});
}

oci::MemoryResources limit_of(uint64_t mib) {
  oci::MemoryResources memory;
  memory.limit = static_cast<int64_t>(mib * kMib);
  return memory;
}

// The limits of the container go around the machine, except for those that only the guest's kernel
// can count, and with room for the monitor itself.
void plan_resources(const JailInputs& inputs, oci::Linux& config) {
  if (!config.resources) config.resources.emplace();
  oci::Resources& resources = *config.resources;
  resources.memory = limit_of(inputs.sizes.memory_mib + kOverheadMib);
  resources.pids_limit.reset();
  resources.unified.clear();
  resources.devices = {{.allow = false, .type = 'a', .access = "rwm"}};
  config.devices.clear();
  constexpr uint32_t kForQemu = 0666;
  if (inputs.kvm) add_device(config, kKvm, kForQemu);
  if (inputs.tap) add_device(config, kTun, 0600);
}

void plan_namespaces(oci::Linux& config) {
  std::vector<oci::Namespace> namespaces{{.type = oci::NamespaceType::kPid},
                                         {.type = oci::NamespaceType::kMount},
                                         {.type = oci::NamespaceType::kIpc},
                                         {.type = oci::NamespaceType::kUts}};
  if (const auto* network = config.find_namespace(oci::NamespaceType::kNetwork)) {
    namespaces.push_back(*network);
  }
  if (const auto* cgroup = config.find_namespace(oci::NamespaceType::kCgroup)) {
    namespaces.push_back(*cgroup);
  }
  config.namespaces = std::move(namespaces);
}

}  // namespace

oci::Process plan_jail_process(const oci::Process& process) {
  oci::Process shell;
  shell.terminal = process.terminal;
  shell.console_size = process.console_size;
  shell.args = {"trivet-vmm"};
  shell.env = {"PATH=/usr/bin:/bin"};
  shell.cwd = "/";
  shell.capabilities = jail_capabilities();
  shell.oom_score_adj = process.oom_score_adj;
  return shell;
}

oci::Spec plan_jail(const oci::Spec& spec, const JailInputs& inputs) {
  oci::Spec shell = spec;
  shell.process = plan_jail_process(*spec.process);
  shell.root = oci::Root{.path = inputs.directory, .readonly = true};
  shell.hostname = "trivet-vm";
  shell.domainname.clear();
  shell.mounts = jail_mounts(inputs);
  shell.hooks.start_container.clear();
  shell.vm.reset();
  oci::Linux& config = *shell.linux_config;
  oci::Linux plain;
  plain.resources = std::move(config.resources);
  plain.cgroups_path = std::move(config.cgroups_path);
  plain.namespaces = std::move(config.namespaces);
  config = std::move(plain);
  plan_namespaces(config);
  plan_resources(inputs, config);
  return shell;
}

oci::Spec plan_member_jail(const oci::Spec& spec, const std::string& directory) {
  oci::Spec shell = plan_jail(spec, {.directory = directory});
  shell.mounts = basic_mounts();
  shell.process->capabilities = oci::Capabilities{};
  oci::Linux& config = *shell.linux_config;
  config.namespaces = {
      {.type = oci::NamespaceType::kPid},     {.type = oci::NamespaceType::kMount},
      {.type = oci::NamespaceType::kIpc},     {.type = oci::NamespaceType::kUts},
      {.type = oci::NamespaceType::kNetwork}, {.type = oci::NamespaceType::kCgroup}};
  oci::Resources resources;
  resources.memory = limit_of(kMemberMib);
  resources.devices = {{.allow = false, .type = 'a', .access = "rwm"}};
  config.resources = std::move(resources);
  return shell;
}

uint64_t memory_in_jail(const oci::Spec& shell) {
  const auto& resources = shell.linux_config->resources;
  if (!resources || !resources->memory || !resources->memory->limit) return 0;
  return static_cast<uint64_t>(*resources->memory->limit) - kOverheadMib * kMib;
}

Result<std::string> make_jail_root(const std::string& vm_directory) {
  std::string root = vm_directory + "/jail";
  if (exists(root + "/lib64")) return root;
  for (const char* name : {"", "/usr", "/etc", "/proc", "/dev", "/run", "/tmp", "/vm", "/share"}) {
    TRY(make_dirs(root + name, 0755));
  }
  for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
    const std::string target = fmt::format("usr/{}", name);
    const std::string link = fmt::format("{}/{}", root, name);
    if (symlink(target.c_str(), link.c_str()) != 0 && errno != EEXIST) {
      return fail_errno("symlink \"{}\"", link);
    }
  }
  return root;
}

}  // namespace trivet::payload::microvm
