// The example of `trivet-oci spec`: runc's libcontainer/specconv/example.go, with a cgroup
// namespace on every host.
#include <algorithm>
#include <unistd.h>

#include "oci/spec.h"

namespace trivet::oci {

namespace {

Process default_process() {
  const std::vector<std::string> capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL",
                                                 "CAP_NET_BIND_SERVICE"};
  Process process;
  process.terminal = true;
  process.args = {"sh"};
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  process.capabilities = {
      .bounding = capabilities, .effective = capabilities, .permitted = capabilities};
  process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 1024, .soft = 1024}};
  process.no_new_privileges = true;
  return process;
}

std::vector<Mount> default_mounts() {
  return {
      {.destination = "/proc", .type = "proc", .source = "proc"},
      {.destination = "/dev",
       .type = "tmpfs",
       .source = "tmpfs",
       .options = {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {.destination = "/dev/pts",
       .type = "devpts",
       .source = "devpts",
       .options = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {.destination = "/dev/shm",
       .type = "tmpfs",
       .source = "shm",
       .options = {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
      {.destination = "/dev/mqueue",
       .type = "mqueue",
       .source = "mqueue",
       .options = {"nosuid", "noexec", "nodev"}},
      {.destination = "/sys",
       .type = "sysfs",
       .source = "sysfs",
       .options = {"nosuid", "noexec", "nodev", "ro"}},
      {.destination = "/sys/fs/cgroup",
       .type = "cgroup",
       .source = "cgroup",
       .options = {"nosuid", "noexec", "nodev", "relatime", "ro"}},
  };
}

Linux default_linux() {
  Linux config;
  config.resources.emplace().devices = {{.allow = false, .access = "rwm"}};
  config.namespaces = {{.type = NamespaceType::kPid},   {.type = NamespaceType::kNetwork},
                       {.type = NamespaceType::kIpc},   {.type = NamespaceType::kUts},
                       {.type = NamespaceType::kMount}, {.type = NamespaceType::kCgroup}};
  config.masked_paths = {"/proc/acpi",        "/proc/asound",        "/proc/kcore",
                         "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                         "/proc/timer_stats", "/proc/sched_debug",   "/sys/firmware",
                         "/proc/scsi"};
  config.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                           "/proc/sysrq-trigger"};
  return config;
}

// runc's ToRootless: no network namespace of its own, the caller's id as root, the host's /sys
// (mounting sysfs needs the network namespace), no group of the devpts, no limits.
void make_rootless(Spec& spec) {
  Linux& config = *spec.linux_config;
  std::erase_if(config.namespaces,
                [](const Namespace& entry) { return entry.type == NamespaceType::kNetwork; });
  config.namespaces.push_back({.type = NamespaceType::kUser});
  config.uid_mappings = {{.container_id = 0, .host_id = geteuid(), .size = 1}};
  config.gid_mappings = {{.container_id = 0, .host_id = getegid(), .size = 1}};
  config.resources.reset();
  for (Mount& mount : spec.mounts) {
    std::erase_if(mount.options, [](const std::string& option) {
      return option.starts_with("uid=") || option.starts_with("gid=");
    });
    if (mount.destination != "/sys") continue;
    mount.type = "none";
    mount.source = "/sys";
    mount.options = {"rbind", "nosuid", "noexec", "nodev", "ro"};
  }
}

}  // namespace

Spec default_spec(SpecKind kind) {
  Spec spec;
  spec.process = default_process();
  spec.root = {.path = "rootfs", .readonly = true};
  spec.hostname = "trivet";
  spec.mounts = default_mounts();
  spec.linux_config = default_linux();
  if (kind == SpecKind::kRootless) make_rootless(spec);
  return spec;
}

}  // namespace trivet::oci
