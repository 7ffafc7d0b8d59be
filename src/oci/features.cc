#include "oci/features.h"

#include "oci/json_writer.h"

namespace trivet::oci {

namespace {

void write_cgroup(JsonWriter& writer, const CgroupFeatures& cgroup) {
  writer.member("v1", cgroup.v1);
  writer.member("v2", cgroup.v2);
  writer.member("systemd", cgroup.systemd);
  writer.member("systemdUser", cgroup.systemd_user);
  writer.member("rdma", cgroup.rdma);
}

void write_seccomp(JsonWriter& writer, const SeccompFeatures& seccomp) {
  writer.member("enabled", seccomp.enabled);
  writer.optional_member("actions", seccomp.actions);
  writer.optional_member("operators", seccomp.operators);
  writer.optional_member("archs", seccomp.archs);
  writer.optional_member("knownFlags", seccomp.known_flags);
  writer.optional_member("supportedFlags", seccomp.supported_flags);
}

void write_intel_rdt(JsonWriter& writer, const IntelRdtFeatures& rdt) {
  writer.member("enabled", rdt.enabled);
  writer.member("schemata", rdt.schemata);
  writer.member("monitoring", rdt.monitoring);
}

void write_memory_policy(JsonWriter& writer, const MemoryPolicyFeatures& policy) {
  writer.optional_member("modes", policy.modes);
  writer.optional_member("flags", policy.flags);
}

void write_enabled(JsonWriter& writer, const bool& enabled) {
  writer.member("enabled", enabled);
}

void write_linux(JsonWriter& writer, const LinuxFeatures& features) {
  writer.optional_member("namespaces", features.namespaces);
  writer.optional_member("capabilities", features.capabilities);
  writer.object("cgroup", features.cgroup, write_cgroup);
  writer.object("seccomp", features.seccomp, write_seccomp);
  writer.object("apparmor", features.apparmor, write_enabled);
  writer.object("selinux", features.selinux, write_enabled);
  writer.object("intelRdt", features.intel_rdt, write_intel_rdt);
  writer.object("memoryPolicy", features.memory_policy, write_memory_policy);
  if (features.idmapped_mounts) {
    writer.begin_object("mountExtensions");
    writer.object("idmap", features.idmapped_mounts, write_enabled);
    writer.end_object();
  }
  writer.object("netDevices", features.net_devices, write_enabled);
}

}  // namespace

std::string print_features(const Features& features) {
  constexpr unsigned kIndent = 4;
  JsonWriter writer(kIndent);
  writer.begin_object();
  writer.member("ociVersionMin", features.oci_version_min);
  writer.member("ociVersionMax", features.oci_version_max);
  writer.optional_member("hooks", features.hooks);
  writer.optional_member("mountOptions", features.mount_options);
  writer.object("linux", features.linux_features, write_linux);
  writer.optional_member("annotations", features.annotations);
  writer.optional_member("potentiallyUnsafeConfigAnnotations",
                         features.potentially_unsafe_config_annotations);
  writer.end_object();
  return writer.text();
}

}  // namespace trivet::oci
