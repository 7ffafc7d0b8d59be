// Names of the specification and what they are to libseccomp and the kernel. Internal to the
// seccomp module.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace trivet::seccomp {

struct NamedValue {
  std::string_view name;
  uint32_t value;
};

// Actions without their data: SCMP_ACT_ERRNO and SCMP_ACT_TRACE take an errno beside.
[[nodiscard]] std::span<const NamedValue> action_table();
[[nodiscard]] std::span<const NamedValue> operator_table();
[[nodiscard]] std::span<const NamedValue> architecture_table();
[[nodiscard]] std::span<const NamedValue> flag_table();

[[nodiscard]] std::optional<uint32_t> find_value(std::span<const NamedValue> table,
                                                 std::string_view name);

// Docker's name of the architecture this program is built for ("amd64"), and the specification's
// ("SCMP_ARCH_X86_64").
[[nodiscard]] std::string_view native_docker_architecture();
[[nodiscard]] std::string_view native_architecture();

// seccomp_default.json.
extern const std::string_view kDefaultProfileJson;

}  // namespace trivet::seccomp
