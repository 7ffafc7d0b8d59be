// The names that runtime-spec 1.3 defines for its enumerations: what parse_spec accepts, and what
// `trivet-oci features` lists.
#pragma once

#include <span>
#include <string_view>

namespace trivet::oci {

using Names = std::span<const std::string_view>;

[[nodiscard]] Names known_namespaces();  // "pid", … in the order of NamespaceType
[[nodiscard]] Names known_hooks();       // "prestart", … in the order they run
[[nodiscard]] Names known_rlimits();
[[nodiscard]] Names known_rootfs_propagations();
[[nodiscard]] Names known_scheduler_policies();
[[nodiscard]] Names known_scheduler_flags();
[[nodiscard]] Names known_io_classes();
[[nodiscard]] Names known_seccomp_actions();
[[nodiscard]] Names known_seccomp_operators();
[[nodiscard]] Names known_seccomp_architectures();
[[nodiscard]] Names known_seccomp_flags();
[[nodiscard]] Names known_memory_policy_modes();
[[nodiscard]] Names known_memory_policy_flags();
[[nodiscard]] Names known_personality_domains();
[[nodiscard]] Names known_time_clocks();
[[nodiscard]] Names known_vm_image_formats();

}  // namespace trivet::oci
