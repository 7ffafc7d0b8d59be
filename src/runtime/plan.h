// From what a user asked for to what will be run: a pure step. Nothing is made here, and the host
// is seen only through HostFacts, so that plans can be tested without privileges.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "image/bundle.h"
#include "monitor/record.h"
#include "net/network.h"
#include "oci/spec.h"
#include "runtime/mount_request.h"
#include "trivet/engine.h"

namespace trivet::runtime {

// What a plan needs to know about the host. The functions look things up when they are needed.
struct HostFacts {
  std::string hostname;
  std::string working_directory;  // of the caller
  std::string init_program;       // trivet-init; empty: not installed
  // An ordinary user, root of a user namespace; whose own systemd makes cgroups, if there is one.
  bool ordinary_user = false;
  bool one_id = false;  // and has no id there but 0
  bool user_systemd = false;
  bool apparmor = false;
  bool selinux = false;
  bool swap_accounting = false;           // memory_swap can be limited
  std::vector<std::string> masked_extra;  // thermal_throttle directories
  std::function<std::optional<std::string>(const std::string& name)> environment;
  std::function<Result<std::string>(const std::string& path)> read_file;
  // The device node at a host path, or all below a directory.
  std::function<Result<std::vector<oci::Device>>(const std::string& path)> devices_at;
  std::function<std::string()> make_volume_name;
};

// The image or directory that is the root, with the user already looked up in it.
struct RootFacts {
  image::ImageDefaults defaults;
  std::map<std::string, std::string> labels;  // of the image
  std::string image_id;                       // empty with --rootfs
  std::vector<std::string> layers;            // lower directories, topmost first
  oci::User user;
  std::string home = "/";  // of the user
  bool is_wasm = false;    // the image says so
};

struct Identity {
  std::string id;
  std::string name;
  Timestamp created{};
  std::string directory;  // DATA/containers/ID
};

// Other containers whose namespaces are joined, by id (empty: none). Looked up by the caller.
struct JoinedContainers {
  std::string network;
  std::string pid;
  std::string network_directory;  // DATA/containers/ID of `network`: its hosts and resolv.conf
};

// The pod that a container belongs to. Its network, ipc and uts namespaces (and pid, when shared)
// are the infra container's: their paths stay empty in config.json, and the pod's supervisor fills
// them in at each start.
struct PodShell {
  std::string id;
  std::string directory;  // DATA/pods/ID: its hosts, resolv.conf, hostname and volumes
  std::string hostname;
  bool share_pid = false;
  net::Mode network = net::Mode::kPasta;  // or kHost, kNone
  bool is_machine = false;                // all its containers are in one microVM
};

// A volume that must exist before the container starts.
struct VolumeUse {
  std::string name;
  std::string destination;
  bool anonymous = false;
  bool copy_up = false;
};

// A namespace of another container; its path is filled in when the container starts.
struct Join {
  oci::NamespaceType type = oci::NamespaceType::kNetwork;
  std::string container_id;
};

struct Plan {
  oci::Spec spec;
  monitor::Record record;
  std::vector<MountRequest> mounts;  // what the user and the image asked for
  std::vector<VolumeUse> volumes;
  std::vector<std::string> bind_sources;  // host paths that must exist
  std::vector<Join> joins;
  bool make_network_files = true;  // false: another container's hosts and resolv.conf are used
  net::HostsOptions hosts;
  net::DnsOptions dns;
};

struct PlanInput {
  const RunOptions& options;
  const RootFacts& root;
  const HostFacts& host;
  const JoinedContainers& joined;
  const Identity& identity;
  const monitor::Directories& directories;
  const PodShell* pod = nullptr;
};

// Checks the options and makes the plan. Errors are kInvalidArgument or kUnsupported and name the
// option.
Result<Plan> plan_container(const PlanInput& input);

// "", "native", … : kInvalidArgument with the known names otherwise.
Result<> check_isolation(const std::string& name);

// --- the parts of a plan

// args, env, cwd, user, capabilities, rlimits.
Result<oci::Process> plan_process(const PlanInput& input, const std::string& hostname);
// Docker's mounts, the files of the network, then the user's.
Result<> plan_mounts(const PlanInput& input, const net::Network& network, Plan& plan);
// Limits, devices and their rules.
Result<> plan_resources(const PlanInput& input, oci::Linux& target);
// seccomp, masked and read-only paths, LSM, no_new_privileges.
Result<> plan_security(const PlanInput& input, oci::Process& process, oci::Linux& target);
// The namespaces, and the joins among them.
Result<> plan_namespaces(const PlanInput& input, const net::Network& network, Plan& plan);
// --sysctl, checked: only what belongs to a namespace the container has of its own.
Result<> plan_sysctls(const std::map<std::string, std::string>& sysctls, oci::Linux& target);

// "nofile=1024:2048" to an rlimit.
Result<oci::Rlimit> parse_ulimit(std::string_view text);
// The lines of an --env-file: NAME=VALUE, NAME (from the caller), # comments.
Result<std::vector<std::string>> parse_env_file(std::string_view content);
// Entries of `env` replace those of the same name; "NAME" alone is taken from the caller, or is
// nothing when the caller has none.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;
void merge_env(std::vector<std::string>& target, const std::vector<std::string>& env,
               const EnvironmentLookup& lookup);

// What `inspect` says about the options: Docker's HostConfig, Config and Mounts, as JSON text.
[[nodiscard]] std::string describe_options(const PlanInput& input, const Plan& plan);

}  // namespace trivet::runtime
