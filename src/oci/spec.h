// runtime-spec 1.3 as types: what config.json of a bundle says (specs-go/config.go, config.md,
// config-linux.md). Field names follow the specification in snake_case; absent members are empty
// optionals or containers. Windows, Solaris, z/OS and FreeBSD sections are refused by parse_spec.
//
// Value types: copy and move freely; no thread affinity.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace trivet::oci {

inline constexpr std::string_view kSpecVersion = "1.3.0";

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
};

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
};

// Names as in capabilities(7), "CAP_CHOWN".
struct Capabilities {
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> inheritable;
  std::vector<std::string> permitted;
  std::vector<std::string> ambient;
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  uint64_t hard = 0;
  uint64_t soft = 0;
};

struct Scheduler {
  std::string policy;  // "SCHED_FIFO"
  int32_t nice = 0;
  int32_t priority = 0;
  std::vector<std::string> flags;
  uint64_t runtime = 0;
  uint64_t deadline = 0;
  uint64_t period = 0;
};

struct IoPriority {
  std::string io_class;  // "IOPRIO_CLASS_BE"
  int32_t priority = 0;
};

struct CpuAffinity {
  std::string initial;
  std::string final_cpus;
};

struct ConsoleSize {
  uint16_t height = 0;
  uint16_t width = 0;
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd = "/";
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::string selinux_label;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;
};

struct Root {
  std::string path;  // absolute, or relative to the bundle
  bool readonly = false;
};

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<int> timeout;  // seconds, > 0
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
  [[nodiscard]] bool empty() const {
    return prestart.empty() && create_runtime.empty() && create_container.empty() &&
           start_container.empty() && poststart.empty() && poststop.empty();
  }
};

enum class NamespaceType { kPid, kNetwork, kMount, kIpc, kUts, kUser, kCgroup, kTime };
// "pid", "network", … as in the specification.
[[nodiscard]] std::string_view namespace_name(NamespaceType type);

struct Namespace {
  NamespaceType type = NamespaceType::kPid;
  std::string path;  // empty: a new one
};

struct Device {
  std::string path;
  char type = 'c';  // c, b, u or p
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

struct DeviceRule {
  bool allow = false;
  char type = 'a';               // a, c or b
  std::optional<int64_t> major;  // empty: all
  std::optional<int64_t> minor;  // empty: all
  std::string access = "rwm";
};

// Limits in bytes; -1 means unlimited (config-linux.md, Memory). parse_spec reads a limit of 0 as
// absent, here and in CpuResources and BlockIoResources: that is what runc and crun make of it, and
// what callers that always write the member mean. pids_limit alone is taken as it is.
struct MemoryResources {
  std::optional<int64_t> limit;
  std::optional<int64_t> reservation;
  std::optional<int64_t> swap;  // memory plus swap
  std::optional<int64_t> kernel;
  std::optional<int64_t> kernel_tcp;
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  std::optional<bool> use_hierarchy;
  std::optional<bool> check_before_update;
};

struct CpuResources {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota;    // microseconds in a period
  std::optional<uint64_t> burst;   // microseconds
  std::optional<uint64_t> period;  // microseconds
  std::optional<int64_t> realtime_runtime;
  std::optional<uint64_t> realtime_period;
  std::string cpus;
  std::string mems;
  std::optional<int64_t> idle;
};

struct WeightDevice {
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
};

struct ThrottleDevice {
  int64_t major = 0;
  int64_t minor = 0;
  uint64_t rate = 0;
};

struct BlockIoResources {
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> throttle_read_bps;
  std::vector<ThrottleDevice> throttle_write_bps;
  std::vector<ThrottleDevice> throttle_read_iops;
  std::vector<ThrottleDevice> throttle_write_iops;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;
};

struct NetworkPriority {
  std::string name;
  uint32_t priority = 0;
};

struct NetworkResources {
  std::optional<uint32_t> class_id;
  std::vector<NetworkPriority> priorities;
};

struct RdmaLimit {
  std::optional<uint32_t> hca_handles;
  std::optional<uint32_t> hca_objects;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<MemoryResources> memory;
  std::optional<CpuResources> cpu;
  std::optional<int64_t> pids_limit;
  std::optional<BlockIoResources> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<NetworkResources> network;
  std::map<std::string, RdmaLimit> rdma;
  std::map<std::string, std::string> unified;
};

struct SeccompArg {
  uint32_t index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;
  std::string op;  // "SCMP_CMP_EQ"
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  // "SCMP_ACT_ALLOW"
  std::optional<uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};

struct Seccomp {
  std::string default_action;
  std::optional<uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64"
  std::vector<std::string> flags;          // "SECCOMP_FILTER_FLAG_LOG"
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SeccompRule> syscalls;
};

struct IntelRdt {
  std::string clos_id;
  std::vector<std::string> schemata;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
  bool enable_monitoring = false;
};

struct MemoryPolicy {
  std::string mode;  // "MPOL_BIND"
  std::string nodes;
  std::vector<std::string> flags;
};

struct Personality {
  std::string domain;  // "LINUX" or "LINUX32"
  std::vector<std::string> flags;
};

struct TimeOffset {
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};

struct Linux {
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::map<std::string, std::string> sysctl;
  std::optional<Resources> resources;
  std::string cgroups_path;
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;
  std::map<std::string, std::string> net_devices;  // host name -> container name
  std::optional<Seccomp> seccomp;
  std::string rootfs_propagation;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  std::optional<MemoryPolicy> memory_policy;
  std::optional<Personality> personality;
  std::map<std::string, TimeOffset> time_offsets;  // "monotonic", "boottime"

  // The entry of a type, or null.
  [[nodiscard]] const Namespace* find_namespace(NamespaceType type) const {
    for (const Namespace& entry : namespaces) {
      if (entry.type == type) return &entry;
    }
    return nullptr;
  }
};

struct VmHypervisor {
  std::string path;
  std::vector<std::string> parameters;
};

struct VmKernel {
  std::string path;
  std::vector<std::string> parameters;
  std::string initrd;
};

struct VmImage {
  std::string path;
  std::string format;
};

struct VmIoMemory {
  std::optional<uint64_t> first_gfn;
  uint64_t first_mfn = 0;
  uint64_t page_count = 0;
};

// The last three are Xen's; a VMM without such a thing has to refuse them.
struct VmHwConfig {
  std::string device_tree;
  std::optional<uint32_t> vcpus;
  std::optional<uint64_t> memory;  // bytes (config-vm.md)
  std::vector<std::string> dt_devices;
  std::vector<VmIoMemory> io_memory;
  std::vector<uint32_t> irqs;
};

struct Vm {
  std::optional<VmHypervisor> hypervisor;
  std::optional<VmKernel> kernel;
  std::optional<VmImage> image;
  std::optional<VmHwConfig> hw_config;
};

struct Spec {
  std::string oci_version = std::string(kSpecVersion);
  std::optional<Process> process;
  std::optional<Root> root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  std::optional<Linux> linux_config;  // not "linux": that is a macro in GNU mode
  std::optional<Vm> vm;
};

// config.json to a Spec: types, ranges, enumerations and the MUSTs of the specification that need
// no look at the host (absolute paths, no duplicate namespaces or rlimits, known mount option
// combinations). Unknown members are allowed (spec: extensibility). Errors name the field.
Result<Spec> parse_spec(std::string_view config_json);

// Only the "process" object: what `exec --process FILE` gets.
Result<Process> parse_process(std::string_view process_json);

// Only the "resources" object: what `update --resources FILE` gets.
Result<Resources> parse_resources(std::string_view resources_json);

// Back to JSON, members in the order of the specification, absent ones left out.
enum class JsonLayout { kOneLine, kIndented };
[[nodiscard]] std::string print_spec(const Spec& spec, JsonLayout layout = JsonLayout::kOneLine);
[[nodiscard]] std::string print_process(const Process& process);

// The example of `trivet-oci spec`: runc's and crun's, runnable as it is. `rootless` gives the
// form for an ordinary user.
enum class SpecKind { kRoot, kRootless };
[[nodiscard]] Spec default_spec(SpecKind kind);

}  // namespace trivet::oci
