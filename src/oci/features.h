// What the runtime supports, as JSON: `trivet-oci features` (runtime-spec features.md and
// features-linux.md). It describes the build, not the host. A value type; the caller fills it in,
// with the lists of spec_names.h where it supports all that the specification names.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "oci/spec.h"

namespace trivet::oci {

struct CgroupFeatures {
  bool v1 = false;
  bool v2 = false;
  bool systemd = false;
  bool systemd_user = false;
  bool rdma = false;
};

struct SeccompFeatures {
  bool enabled = false;
  std::vector<std::string> actions;
  std::vector<std::string> operators;
  std::vector<std::string> archs;
  std::vector<std::string> known_flags;      // recognised in a config
  std::vector<std::string> supported_flags;  // of those, the ones that work in this build
};

struct IntelRdtFeatures {
  bool enabled = false;
  bool schemata = false;
  bool monitoring = false;
};

struct MemoryPolicyFeatures {
  std::vector<std::string> modes;
  std::vector<std::string> flags;
};

// An absent optional is "unknown", which differs from "not supported" (features.md).
struct LinuxFeatures {
  std::vector<std::string> namespaces;
  std::vector<std::string> capabilities;
  std::optional<CgroupFeatures> cgroup;
  std::optional<SeccompFeatures> seccomp;
  std::optional<bool> apparmor;
  std::optional<bool> selinux;
  std::optional<IntelRdtFeatures> intel_rdt;
  std::optional<MemoryPolicyFeatures> memory_policy;
  std::optional<bool> idmapped_mounts;
  std::optional<bool> net_devices;
};

struct Features {
  std::string oci_version_min = "1.0.0";
  std::string oci_version_max = std::string(kSpecVersion);
  std::vector<std::string> hooks;
  std::vector<std::string> mount_options;
  std::optional<LinuxFeatures> linux_features;
  std::map<std::string, std::string> annotations;
  // A name that ends in "." stands for all that start so.
  std::vector<std::string> potentially_unsafe_config_annotations;
};

// Indented by four spaces as runc does; without a newline at the end.
[[nodiscard]] std::string print_features(const Features& features);

}  // namespace trivet::oci
