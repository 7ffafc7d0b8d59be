// What has to be written where for the limits of a container: values, without a look at the host.
// Internal to the cgroup module.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::cgroup {

// One way to write a limit. Kernels differ in file names: the first file that exists is used.
struct ControlWrite {
  std::string file;   // "memory.limit_in_bytes"
  std::string value;  // "67108864"
};

// One limit.
struct Setting {
  std::string controller;  // "memory"; "cgroup" for files that every v2 cgroup has
  std::vector<ControlWrite> writes;
  std::string field;  // "linux.resources.memory.limit", for error texts
  // Without such a file there is nothing to limit, so its absence is no error: swap that is off
  // needs no swap limit of "max".
  bool optional = false;
  // Put the first word that the file holds now in front: cpu.max's quota when only the period is
  // given.
  bool keep_first_word = false;
  // Writing is refused when the cgroup uses more than this already (checkBeforeUpdate).
  uint64_t refuse_below_usage = 0;

  friend bool operator==(const Setting&, const Setting&) = default;
};
inline bool operator==(const ControlWrite& a, const ControlWrite& b) {
  return a.file == b.file && a.value == b.value;
}

// The settings in an order that suits a new cgroup. On a used one a limit may have to wait for
// another that bounds it (memory under memory and swap, quota over burst): such writes fail with
// EINVAL and are tried again after the others.
//
// Limits that only the other version has are kUnsupported and name the field; devices are
// elsewhere (cgroup_devices.h).
Result<std::vector<Setting>> plan_v1(const oci::Resources& resources);
Result<std::vector<Setting>> plan_v2(const oci::Resources& resources);

// The conversions of crun(1), which runc shares.
[[nodiscard]] uint64_t cpu_weight_of_shares(uint64_t shares);  // 2…262144 to 1…10000
[[nodiscard]] uint64_t io_weight_of_blkio(uint64_t weight);    // 10…1000 to 1…10000

}  // namespace trivet::cgroup
