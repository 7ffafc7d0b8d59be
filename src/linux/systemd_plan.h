// A container as a scope of systemd: its names and properties as values, without a look at the host
// (systemd.resource-control(5), org.freedesktop.systemd1(5)).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "linux/cgroup_devices.h"
#include "linux/cgroup_plan.h"

namespace trivet::systemd {

// One property of a unit, its value in words as busctl(1) takes them: {"PIDs", "au", {"1",
// "4711"}}.
struct Property {
  std::string name;
  std::string signature;
  std::vector<std::string> words;

  friend bool operator==(const Property&, const Property&) = default;
};

struct ScopeName {
  std::string slice;  // "user.slice"
  std::string unit;   // "libpod-4711.scope"
};

// linux.cgroupsPath under the systemd driver, as runc takes it: SLICE:PREFIX:NAME is
// PREFIX-NAME.scope in the slice; an empty slice is the default one, an empty prefix leaves NAME
// alone. An empty path is :trivet:ID. kInvalidArgument for anything else.
Result<ScopeName> parse_scope_name(const std::string& cgroups_path, const std::string& id,
                                   const std::string& default_slice);

// Where systemd keeps a slice below its own cgroup: "a-b.slice" in "/a.slice/a-b.slice", the root
// slice "-.slice" in "". kInvalidArgument for what is no name of a slice.
Result<std::string> slice_path(std::string_view slice);

// systemd's own cgroup in a hierarchy, from the text of /proc/1/cgroup: "" on a host.
[[nodiscard]] std::string manager_root(std::string_view cgroups_of_init);

// The properties that runc takes from annotations: "org.systemd.property.TimeoutStopSec" with a
// value in GVariant's text format. A name that ends in "Sec" is one in "USec", in microseconds.
// kInvalidArgument names the annotation.
Result<std::vector<Property>> plan_annotations(
    const std::map<std::string, std::string>& annotations);

// "true", "'text'", "uint64 5", "['a', 'b']", "@as []" to signature and words. Maps and structures
// are kInvalidArgument: no property of a scope that one may set here has them.
Result<Property> parse_value(std::string name, std::string_view text);

// cpu.max as it is: what a change of the quota alone, or of the period alone, leaves as it was.
struct CpuMax {
  int64_t quota = -1;  // µs in a period; -1: unlimited
  uint64_t period = 100000;
};

// The properties that mean the same as the settings, as far as systemd has such. With them a
// "systemctl daemon-reload" writes what the settings have written.
Result<std::vector<Property>> plan_limits(const std::vector<cgroup::Setting>& settings,
                                          const CpuMax& present);

// The v1 device rules; on v2 systemd leaves our program alone. `devices` is the text of
// /proc/devices: systemd takes whole majors by their name. A policy that allows by default can't be
// said and leaves all to the rules that we write ourselves.
std::vector<Property> plan_devices(const cgroup::DevicePolicy& policy, std::string_view devices);

// What every container's scope has, around its first process.
std::vector<Property> plan_scope(const ScopeName& name, std::string_view description, pid_t first,
                                 bool v2);

}  // namespace trivet::systemd
