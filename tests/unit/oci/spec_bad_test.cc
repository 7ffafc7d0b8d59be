// Every refusal of parse_spec, one line each: a good config with one thing changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "oci/bad_input.h"
#include "oci/spec.h"

namespace trivet::oci {
namespace {

using testing::HasSubstr;

class BadSpec : public testing::TestWithParam<BadInput> {};

TEST_P(BadSpec, IsRefusedWithThePathOfTheField) {
  auto document = nlohmann::json::parse(print_spec(default_spec(SpecKind::kRoot)));
  const nlohmann::json::json_pointer pointer{std::string(GetParam().pointer)};
  if (GetParam().value.empty()) {
    document.at(pointer.parent_pointer()).erase(pointer.back());
  } else {
    document[pointer] = nlohmann::json::parse(GetParam().value);
  }
  const auto spec = parse_spec(document.dump());
  ASSERT_FALSE(spec.has_value());
  EXPECT_EQ(spec.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(spec.error().message(), HasSubstr(GetParam().error));
}

constexpr BadInput kTop[] = {
    {"no_version", "/ociVersion", "", "ociVersion: missing"},
    {"version_type", "/ociVersion", "1", "ociVersion: expected a string, not a number"},
    {"version_text", "/ociVersion", R"("1.0")", "ociVersion: \"1.0\" is no version"},
    {"version_zeros", "/ociVersion", R"("1.01.0")", "ociVersion: \"1.01.0\" is no version"},
    {"version_2", "/ociVersion", R"("2.0.0")", "ociVersion: version 2.0.0 of the runtime"},
    {"version_1_4", "/ociVersion", R"("1.4.0")", "ociVersion: version 1.4.0 of the runtime"},
    {"version_0", "/ociVersion", R"("0.9.0")", "ociVersion: version 0.9.0 of the runtime"},
    {"windows", "/windows", "{}", "windows: containers of this platform"},
    {"no_root", "/root", "", "root: missing"},
    {"null_root", "/root", "null", "root: missing"},
    {"root_type", "/root", "[]", "root: expected an object, not an array"},
    {"root_path", "/root/path", R"("")", "root.path: must not be empty"},
    {"root_nul", "/root/path", R"("a\u0000b")", "root.path: contains a NUL byte"},
    {"readonly", "/root/readonly", R"("yes")", "root.readonly: expected true or false"},
    {"mounts", "/mounts", "{}", "mounts: expected an array, not an object"},
    {"mount_null", "/mounts/1", "null", "mounts[1]: expected an object, not null"},
    {"mount_destination", "/mounts/1/destination", "", "mounts[1].destination: missing"},
    {"mount_option", "/mounts/1/options/2", "7", "mounts[1].options[2]: expected a string"},
    {"mount_type", "/mounts/0/type", "", "mounts[0].type: missing"},
    {"bind_source", "/mounts/0", R"({"destination":"/a","type":"bind"})",
     "mounts[0].source: missing in a bind mount"},
    {"one_mapping", "/mounts/0/uidMappings", R"([{"containerID":0,"hostID":0,"size":1}])",
     "mounts[0]: uidMappings and gidMappings"},
    {"idmapped_proc", "/mounts/0/options", R"(["idmap"])", "mounts[0]: only bind mounts"},
    {"idmap_without_userns", "/mounts/0",
     R"({"destination":"/a","source":"/b","options":["bind","idmap"]})",
     "mounts[0]: id-mapped, but there are no mappings"},
    {"hook_path", "/hooks", R"({"poststop":[{"path":"h"}]})",
     "hooks.poststop[0].path: must be an absolute path"},
    {"hook_timeout", "/hooks", R"({"prestart":[{"path":"/h","timeout":0}]})",
     "hooks.prestart[0].timeout: must be greater than zero"},
    {"hook_env", "/hooks", R"({"prestart":[{"path":"/h","env":["A"]}]})",
     "hooks.prestart[0].env[0]: \"A\" has no \"=\""},
    {"annotation_type", "/annotations", R"({"a.b":1})", "annotations[\"a.b\"]: expected a string"},
    {"annotation_key", "/annotations", R"({"":"x"})",
     "annotations: has a member with an empty name"},
    {"annotation_nul", "/annotations", R"({"a\u0000":"x"})", "its name contains a NUL byte"},
    {"hostname", "/linux/namespaces", "[]", "hostname: needs a uts namespace"},
};

constexpr BadInput kProcess[] = {
    {"args_missing", "/process/args", "", "process.args: must not be empty"},
    {"args_empty", "/process/args", "[]", "process.args: must not be empty"},
    {"args_type", "/process/args", R"("sh")", "process.args: expected an array, not a string"},
    {"env", "/process/env/1", R"("TERM")", "process.env[1]: \"TERM\" has no \"=\""},
    {"env_name", "/process/env/1", R"("=x")", "process.env[1]: \"=x\" has no name"},
    {"cwd_missing", "/process/cwd", "", "process.cwd: missing"},
    {"cwd_relative", "/process/cwd", R"("tmp")", "process.cwd: must be an absolute path"},
    {"uid_negative", "/process/user/uid", "-1", "process.user.uid: -1 is out of range"},
    {"uid_big", "/process/user/uid", "4294967296", "process.user.uid: 4294967296 is out of"},
    {"uid_huge", "/process/user/uid", "1e300", "process.user.uid: 1e+300 is out of range"},
    {"uid_fraction", "/process/user/uid", "1.5", "process.user.uid: expected a whole number"},
    {"umask", "/process/user/umask", "512", "process.user.umask: 512 is out of range"},
    {"gids", "/process/user/additionalGids", "[1,-2]", "process.user.additionalGids[1]: -2"},
    {"console", "/process/consoleSize", R"({"height":65536})", "process.consoleSize.height: 65536"},
    {"capabilities", "/process/capabilities", "[]", "process.capabilities: expected an object"},
    {"rlimit_type", "/process/rlimits/0/type", R"("RLIMIT_NOFILES")",
     "process.rlimits[0].type: unknown value \"RLIMIT_NOFILES\""},
    {"rlimit_missing", "/process/rlimits/0/hard", "", "process.rlimits[0].hard: missing"},
    {"rlimit_soft", "/process/rlimits/0/soft", "1025", "process.rlimits[0].soft: 1025 is above"},
    {"rlimit_twice", "/process/rlimits/1", R"({"type":"RLIMIT_NOFILE","hard":1,"soft":1})",
     "process.rlimits: RLIMIT_NOFILE is given twice"},
    {"oom", "/process/oomScoreAdj", "1001", "process.oomScoreAdj: 1001 is out of range"},
    {"policy_missing", "/process/scheduler", "{}", "process.scheduler.policy: missing"},
    {"policy", "/process/scheduler", R"({"policy":"FIFO"})", "process.scheduler.policy: unknown"},
    {"nice", "/process/scheduler", R"({"policy":"SCHED_OTHER","nice":20})",
     "process.scheduler.nice: 20 is out of range"},
    {"priority", "/process/scheduler", R"({"policy":"SCHED_OTHER","priority":2})",
     "process.scheduler.priority: only SCHED_FIFO"},
    {"deadline", "/process/scheduler", R"({"policy":"SCHED_RR","period":2})",
     "process.scheduler: only SCHED_DEADLINE"},
    {"scheduler_flag", "/process/scheduler", R"({"policy":"SCHED_RR","flags":["X"]})",
     "process.scheduler.flags: unknown value \"X\""},
    {"io_class", "/process/ioPriority", R"({"class":"IOPRIO_CLASS_NONE"})",
     "process.ioPriority.class: unknown"},
    {"io_priority", "/process/ioPriority", R"({"class":"IOPRIO_CLASS_BE","priority":8})",
     "process.ioPriority.priority: 8"},
    {"affinity", "/process/execCPUAffinity", R"({"final":"a"})",
     "process.execCPUAffinity.final: \"a\" is no list"},
};

constexpr BadInput kLinux[] = {
    {"namespace_type", "/linux/namespaces/0/type", R"("net")", "linux.namespaces[0].type: unknown"},
    {"namespace_missing", "/linux/namespaces/0/type", "", "linux.namespaces[0].type: missing"},
    {"namespace_path", "/linux/namespaces/0/path", R"("ns")", "linux.namespaces[0].path: must be"},
    {"namespace_twice", "/linux/namespaces/6", R"({"type":"pid"})",
     "linux.namespaces: pid is given twice"},
    {"mapping_missing", "/linux/uidMappings", R"([{"containerID":0,"size":1}])",
     "linux.uidMappings[0].hostID: missing"},
    {"mapping_size", "/linux/uidMappings", R"([{"containerID":0,"hostID":2,"size":4294967295}])",
     "linux.uidMappings[0].size: 4294967295 is out of range"},
    {"mapping_no_userns", "/linux/gidMappings", R"([{"containerID":0,"hostID":2,"size":1}])",
     "linux.gidMappings: needs a user namespace"},
    {"userns_no_mapping", "/linux/namespaces/6", R"({"type":"user"})",
     "linux.uidMappings: missing"},
    {"masked", "/linux/maskedPaths/0", R"("proc")", "linux.maskedPaths: must be an absolute"},
    {"masked_no_mount", "/linux/namespaces", R"([{"type":"uts"}])",
     "linux.maskedPaths: needs a mount namespace"},
    {"propagation", "/linux/rootfsPropagation", R"("x")", "linux.rootfsPropagation: unknown"},
    {"sysctl_host", "/linux/sysctl", R"({"vm.swappiness":"1"})",
     "linux.sysctl[\"vm.swappiness\"]: belongs to the host"},
    {"sysctl_hostname", "/linux/sysctl", R"({"kernel/hostname":"1"})", "the field hostname"},
    {"sysctl_dots", "/linux/sysctl", R"({"net.x..y":"1"})", "not the name of a sysctl"},
    {"sysctl_user", "/linux/sysctl", R"({"user.max_user_namespaces":"1"})",
     "needs a user namespace"},
    {"sysctl_type", "/linux/sysctl", R"({"net.ipv4.ip_forward":1})", "expected a string"},
    {"device_path", "/linux/devices", R"([{"path":"x","type":"c"}])", "linux.devices[0].path"},
    {"device_type", "/linux/devices", R"([{"path":"/x","type":"d"}])", "linux.devices[0].type"},
    {"device_major", "/linux/devices", R"([{"path":"/x","type":"c","major":-1}])",
     "linux.devices[0].major: -1 is out of range"},
    {"net_device", "/linux/netDevices", R"({"eth/0":{}})", "linux.netDevices[\"eth/0\"]"},
    {"net_device_name", "/linux/netDevices", R"({"eth0":{"name":"0123456789abcdef"}})",
     "linux.netDevices[\"eth0\"].name"},
    {"net_device_twice", "/linux/netDevices", R"({"a":{"name":"x"},"b":{"name":"x"}})",
     "two devices would be \"x\""},
    {"clos", "/linux/intelRdt", R"({"closID":"a/b"})", "linux.intelRdt.closID"},
    {"schemata", "/linux/intelRdt", R"({"schemata":["a\nb"]})", "linux.intelRdt.schemata"},
    {"mem_bw", "/linux/intelRdt", R"({"memBwSchema":"x"})", "linux.intelRdt.memBwSchema"},
    {"old_rdt", "/linux/intelRdt", R"({"enableCMT":true})", "linux.intelRdt.enableCMT: not"},
    {"mpol", "/linux/memoryPolicy", R"({"mode":"BIND"})", "linux.memoryPolicy.mode: unknown"},
    {"mpol_nodes", "/linux/memoryPolicy", R"({"mode":"MPOL_BIND"})", "linux.memoryPolicy.nodes"},
    {"mpol_local", "/linux/memoryPolicy", R"({"mode":"MPOL_LOCAL","nodes":"0"})",
     "linux.memoryPolicy.nodes: MPOL_LOCAL takes no nodes"},
    {"personality", "/linux/personality", R"({"domain":"BSD"})", "linux.personality.domain"},
    {"personality_flag", "/linux/personality", R"({"domain":"LINUX","flags":["X"]})",
     "linux.personality.flags"},
    {"clock", "/linux/timeOffsets", R"({"realtime":{}})", "linux.timeOffsets[\"realtime\"]"},
    {"nanosecs", "/linux/timeOffsets", R"({"boottime":{"nanosecs":1000000000}})",
     "linux.timeOffsets[\"boottime\"].nanosecs"},
    {"time_namespace", "/linux/timeOffsets", R"({"boottime":{"secs":1}})",
     "needs a time namespace"},
    {"vm_kernel", "/vm", R"({"kernel":{"path":"k"}})", "vm.kernel.path: must be an absolute"},
    {"vm_initrd", "/vm", R"({"kernel":{"path":"","initrd":"/i"}})", "vm.kernel.path: missing"},
    {"vm_format", "/vm", R"({"image":{"path":"/i","format":"iso"}})", "vm.image.format: unknown"},
    {"vm_vcpus", "/vm", R"({"hwConfig":{"vcpus":0}})", "vm.hwConfig.vcpus: must be greater"},
};

constexpr BadInput kResources[] = {
    {"rule_allow", "/linux/resources/devices/0/allow", "", "linux.resources.devices[0].allow"},
    {"rule_type", "/linux/resources/devices/0/type", R"("x")", "linux.resources.devices[0].type"},
    {"rule_access", "/linux/resources/devices/0/access", R"("rx")",
     "linux.resources.devices[0].access"},
    {"rule_no_access", "/linux/resources/devices/0/access", "", "devices[0].access: missing"},
    {"rule_major", "/linux/resources/devices/0/major", "-2", "linux.resources.devices[0].major"},
    {"memory", "/linux/resources/memory", R"({"limit":-2})", "linux.resources.memory.limit: -2"},
    {"memory_huge", "/linux/resources/memory", R"({"limit":9223372036854775808})",
     "linux.resources.memory.limit: 9223372036854775808 is out of range"},
    {"swap", "/linux/resources/memory", R"({"limit":10,"swap":9})", "linux.resources.memory.swap"},
    {"swappiness", "/linux/resources/memory", R"({"swappiness":201})", "memory.swappiness: 201"},
    {"idle", "/linux/resources/cpu", R"({"idle":2})", "linux.resources.cpu.idle: 2"},
    {"shares", "/linux/resources/cpu", R"({"shares":-2})", "linux.resources.cpu.shares: -2"},
    {"burst", "/linux/resources/cpu", R"({"quota":5,"burst":6})", "linux.resources.cpu.burst"},
    {"pids", "/linux/resources/pids", R"({"limit":-2})", "linux.resources.pids.limit: -2"},
    {"weight", "/linux/resources/blockIO", R"({"weight":9})", "linux.resources.blockIO.weight: 9"},
    {"weight_device", "/linux/resources/blockIO", R"({"weightDevice":[{"major":1,"minor":1}]})",
     "linux.resources.blockIO.weightDevice[0]: has no weight"},
    {"rate", "/linux/resources/blockIO", R"({"throttleReadBpsDevice":[{"major":1,"minor":1}]})",
     "linux.resources.blockIO.throttleReadBpsDevice[0].rate: missing"},
    {"page_size", "/linux/resources/hugepageLimits", R"([{"pageSize":"2M","limit":1}])",
     "linux.resources.hugepageLimits[0].pageSize"},
    {"rdma", "/linux/resources/rdma", R"({"mlx":{}})", "linux.resources.rdma[\"mlx\"]: has no hca"},
    {"unified", "/linux/resources/unified", R"({"../x":"1"})", "linux.resources.unified[\"../x\"]"},
    {"priority_name", "/linux/resources/network", R"({"priorities":[{"priority":1}]})",
     "linux.resources.network.priorities[0].name: missing"},
};

constexpr BadInput kSeccomp[] = {
    {"no_default", "/linux/seccomp", "{}", "linux.seccomp.defaultAction: missing"},
    {"action", "/linux/seccomp", R"({"defaultAction":"ALLOW"})", "linux.seccomp.defaultAction"},
    {"errno", "/linux/seccomp", R"({"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1})",
     "linux.seccomp.defaultErrnoRet: action SCMP_ACT_ALLOW has no error number"},
    {"errno_range", "/linux/seccomp",
     R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096})",
     "linux.seccomp.defaultErrnoRet: 4096 is out of range"},
    {"arch", "/linux/seccomp", R"({"defaultAction":"SCMP_ACT_LOG","architectures":["amd64"]})",
     "linux.seccomp.architectures: unknown value \"amd64\""},
    {"flag", "/linux/seccomp", R"({"defaultAction":"SCMP_ACT_LOG","flags":["X"]})",
     "linux.seccomp.flags: unknown value"},
    {"names", "/linux/seccomp",
     R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":[],"action":"SCMP_ACT_LOG"}]})",
     "linux.seccomp.syscalls[0].names: must not be empty"},
    {"index", "/linux/seccomp",
     R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG",
         "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]})",
     "linux.seccomp.syscalls[0].args[0].index: 6 is out of range"},
    {"operator", "/linux/seccomp",
     R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG",
         "args":[{"index":0,"value":0,"op":"=="}]}]})",
     "linux.seccomp.syscalls[0].args[0].op: unknown value"},
    {"notify_default", "/linux/seccomp", R"({"defaultAction":"SCMP_ACT_NOTIFY"})",
     "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY can't be the default"},
    {"notify_listener", "/linux/seccomp",
     R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_NOTIFY"}]})",
     "linux.seccomp.listenerPath: missing"},
    {"metadata", "/linux/seccomp", R"({"defaultAction":"SCMP_ACT_LOG","listenerMetadata":"m"})",
     "linux.seccomp.listenerMetadata: given without listenerPath"},
};

std::string test_name(const testing::TestParamInfo<BadInput>& info) {
  return std::string(info.param.name);
}

INSTANTIATE_TEST_SUITE_P(Top, BadSpec, testing::ValuesIn(kTop), test_name);
INSTANTIATE_TEST_SUITE_P(Process, BadSpec, testing::ValuesIn(kProcess), test_name);
INSTANTIATE_TEST_SUITE_P(Linux, BadSpec, testing::ValuesIn(kLinux), test_name);
INSTANTIATE_TEST_SUITE_P(Resources, BadSpec, testing::ValuesIn(kResources), test_name);
INSTANTIATE_TEST_SUITE_P(Seccomp, BadSpec, testing::ValuesIn(kSeccomp), test_name);

}  // namespace
}  // namespace trivet::oci
