// Which devices a container may use: the rules of config.json to what the kernel takes. Internal to
// the cgroup module.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"
#include <linux/bpf.h>

namespace trivet::cgroup {

// Bits of an access, as BPF_DEVCG_ACC_* of linux/bpf.h.
inline constexpr uint32_t kMknod = BPF_DEVCG_ACC_MKNOD;
inline constexpr uint32_t kRead = BPF_DEVCG_ACC_READ;
inline constexpr uint32_t kWrite = BPF_DEVCG_ACC_WRITE;

struct DeviceException {
  bool allow = false;
  char type = 'c';               // c or b
  std::optional<int64_t> major;  // empty: all
  std::optional<int64_t> minor;
  uint32_t access = 0;

  friend bool operator==(const DeviceException&, const DeviceException&) = default;
};

// What is decided by default, and the rules that change it: for each access the last rule counts.
struct DevicePolicy {
  bool default_allow = false;
  std::vector<DeviceException> exceptions;
};

// A rule for all devices and accesses sets the default anew. When the default is to deny, what
// every container has is allowed on top: making any node, /dev/null and the like, terminals, tun
// (the same as runc's). kInvalidArgument for bad rules.
Result<DevicePolicy> make_device_policy(const std::vector<oci::DeviceRule>& rules);

// One line for devices.allow or devices.deny.
struct DeviceWrite {
  bool allow = false;
  std::string line;  // "a", "c 1:3 rwm", "b *:* m"

  friend bool operator==(const DeviceWrite&, const DeviceWrite&) = default;
};

// The writes that turn `current` (the text of devices.list) into the policy. v1 matches rules only
// as a whole: a policy that takes a part out of a wider exception is kUnsupported.
Result<std::vector<DeviceWrite>> plan_devices_v1(const DevicePolicy& policy,
                                                 std::string_view current);

// The program for BPF_CGROUP_DEVICE: walks the rules from the last to the first with the set of
// accesses that are not decided yet. Pure.
[[nodiscard]] std::vector<bpf_insn> device_program(const DevicePolicy& policy);

// Loads the program and attaches it to the v2 directory in place of older ones.
Result<> attach_device_program(const std::string& directory, const std::vector<bpf_insn>& program);

}  // namespace trivet::cgroup
