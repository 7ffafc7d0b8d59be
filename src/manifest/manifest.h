// Kubernetes' v1 Pod as trivet reads it: text to values, checked as a whole. Pure: no file is
// opened, nothing is looked up on the host.
//
// The manifest is YAML or JSON and holds one Pod and, as further documents or items of a List, the
// ConfigMaps and Secrets that the Pod names. What trivet does not honour is an error, so that a pod
// never runs other than its manifest says; fields that concern a cluster alone (scheduling, the API
// server) are accepted and mean nothing. docs/pods.md lists every field.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace trivet::manifest {

// Where something stands in a manifest.
struct Place {
  std::string file;
  int line = 0;  // from 1
  int column = 0;
  std::string field;  // "spec.containers[0].ports[1].hostPort"
};
// "pod.yaml:12:5: spec.containers[0].ports[1].hostPort".
[[nodiscard]] std::string place_text(const Place& place);

// ---------------------------------------------------------------- containers

struct KeyRef {
  std::string name;  // of the ConfigMap or Secret
  std::string key;
  bool optional = false;
};

// resourceFieldRef: a limit or request of a container, as a number in units of `divisor`.
struct ResourceRef {
  std::string container;            // empty: the one it stands in
  std::string resource;             // "limits.cpu", "requests.memory"
  int64_t divisor_thousandths = 0;  // 0: not given
};

struct EnvVar {
  enum class From { kValue, kConfigMap, kSecret, kField, kResource };
  std::string name;
  From from = From::kValue;
  std::string value;  // kValue, with its "$(NAME)"; kField: the path, "metadata.name"
  KeyRef key;         // kConfigMap, kSecret
  ResourceRef resource;
  Place place;
};

// All keys of a ConfigMap or Secret.
struct EnvSource {
  bool secret = false;
  std::string name;
  std::string prefix;
  bool optional = false;
  Place place;
};

struct Port {
  std::string name;
  uint16_t container_port = 0;
  uint16_t host_port = 0;  // 0: not published
  std::string host_ip;     // empty: all addresses
  std::string protocol;    // "tcp" or "udp"
  Place place;
};

struct Resources {
  std::optional<int64_t> cpu_limit;     // thousandths of a CPU
  std::optional<int64_t> memory_limit;  // bytes
  std::optional<int64_t> cpu_request;   // where not given, the limit
  std::optional<int64_t> memory_request;
  std::optional<int64_t> pids_limit;
  std::map<std::string, int64_t> devices;  // "nvidia.com/gpu": how many
};

struct Profile {  // seccompProfile, appArmorProfile
  enum class Kind { kDefault, kUnconfined, kLocalhost };
  Kind kind = Kind::kDefault;
  std::string name;  // localhostProfile
};

struct ContainerSecurity {
  std::optional<uint32_t> run_as_user;
  std::optional<uint32_t> run_as_group;
  std::optional<bool> run_as_non_root;
  std::vector<std::string> cap_add;
  std::vector<std::string> cap_drop;
  std::optional<Profile> seccomp;
  std::optional<Profile> apparmor;
  bool read_only_root = false;
  bool allow_privilege_escalation = true;
  bool privileged = false;
};

struct VolumeMount {
  enum class Propagation { kNone, kHostToContainer, kBidirectional };
  std::string volume;
  std::string path;  // absolute
  bool read_only = false;
  std::string sub_path;  // relative, without ".."; with its "$(NAME)" when `expand` says so
  bool expand = false;   // subPathExpr
  Propagation propagation = Propagation::kNone;
  Place place;
};

// One thing to do to see how a container is, or around its life.
struct Action {
  enum class Kind { kExec, kHttp, kTcp, kGrpc, kSleep };
  Kind kind = Kind::kExec;
  std::vector<std::string> command;
  std::string host;  // empty: the pod
  uint16_t port = 0;
  std::string path = "/";
  bool https = false;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string service;        // kGrpc
  int64_t sleep_seconds = 0;  // kSleep
};

struct Probe {
  Action action;
  int initial_delay_seconds = 0;
  int period_seconds = 10;
  int timeout_seconds = 1;
  int success_threshold = 1;
  int failure_threshold = 3;
  std::optional<int64_t> grace_seconds;
};

enum class Role { kInit, kSidecar, kMain };

struct Container {
  std::string name;
  Role role = Role::kMain;
  std::string image;
  std::vector<std::string> command;  // with their "$(NAME)"
  std::vector<std::string> args;
  std::string working_dir;
  std::vector<Port> ports;
  std::vector<EnvSource> env_from;
  std::vector<EnvVar> env;
  Resources resources;
  std::vector<VolumeMount> mounts;
  std::optional<Probe> startup;
  std::optional<Probe> liveness;
  std::optional<Probe> readiness;
  std::optional<Action> post_start;
  std::optional<Action> pre_stop;
  int stop_signal = 0;      // 0: the image's
  std::string pull_policy;  // "missing", "always", "never"; empty: not given
  ContainerSecurity security;
  bool stdin_open = false;
  bool tty = false;
  std::string isolation;  // of the annotation dev.trivet.isolation/NAME; empty: the pod's
  Place place;
};

// ---------------------------------------------------------------- volumes

struct Item {              // one file of a volume
  std::string key;         // of a ConfigMap or Secret
  std::string field_path;  // of a downwardAPI volume, or `resource`
  std::optional<ResourceRef> resource;
  std::string path;  // relative, without ".."
  std::optional<uint32_t> mode;
  Place place;
};

// What fills a volume with files. configMap, secret and downwardAPI volumes have one, projected
// ones any number.
struct Source {
  enum class Kind { kConfigMap, kSecret, kDownward };
  Kind kind = Kind::kConfigMap;
  std::string name;
  bool optional = false;
  std::vector<Item> items;  // none: every key, as a file of its name
  Place place;
};

struct Volume {
  enum class Kind { kEmpty, kHostPath, kFiles, kNamed };
  enum class HostType {
    kAny,
    kDirectory,
    kDirectoryOrCreate,
    kFile,
    kFileOrCreate,
    kSocket,
    kCharDevice,
    kBlockDevice
  };
  std::string name;
  Kind kind = Kind::kEmpty;
  bool memory = false;     // kEmpty
  uint64_t size = 0;       // kEmpty in memory: bytes, 0: no limit of its own
  uint32_t mode = 0777;    // kEmpty: of the directory
  std::string path;        // kHostPath: absolute; kNamed: the volume's name (a claim's)
  bool read_only = false;  // kNamed
  HostType host_type = HostType::kAny;
  std::vector<Source> sources;  // kFiles
  uint32_t file_mode = 0644;    // kFiles
  Place place;
};

// ---------------------------------------------------------------- the pod

struct PodSecurity {
  std::optional<uint32_t> run_as_user;
  std::optional<uint32_t> run_as_group;
  std::optional<bool> run_as_non_root;
  std::optional<uint32_t> fs_group;
  std::vector<uint32_t> supplemental_groups;
  std::optional<Profile> seccomp;
  std::optional<Profile> apparmor;
  std::map<std::string, std::string> sysctls;
};

struct HostAlias {
  std::string address;
  std::vector<std::string> names;
};

struct Dns {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;  // "ndots:2"
};

struct Extension {
  std::string name;
  std::string path;      // empty: trivet's own of this name
  std::string settings;  // of the annotation dev.trivet.extension/NAME
};

enum class RestartPolicy { kAlways, kOnFailure, kNever };

struct Pod {
  std::string name;
  std::string name_space = "default";
  std::string uid;  // empty: not given
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<Container> containers;  // init containers and sidecars in order, then the others
  std::vector<Volume> volumes;
  RestartPolicy restart = RestartPolicy::kAlways;
  int64_t grace_seconds = 30;
  std::optional<int64_t> deadline_seconds;
  std::string hostname;   // empty: the pod's name
  std::string subdomain;  // empty: none
  Dns dns;
  std::vector<HostAlias> host_aliases;
  bool share_pid = false;
  bool host_network = false;
  bool host_pid = false;
  // "native", "wasm", "microvm", from runtimeClassName or the annotation dev.trivet.isolation;
  // empty: not given.
  std::string isolation;
  Resources resources;
  PodSecurity security;
  std::vector<Extension> extensions;
  std::string service_account = "default";
  Place place;
};

struct Data {  // of a ConfigMap, or of a Secret with its base64 decoded
  std::map<std::string, std::string> entries;
  Place place;
};

struct Manifest {
  Pod pod;
  std::map<std::string, Data> config_maps;
  std::map<std::string, Data> secrets;
  std::vector<std::string> warnings;  // what ParseOptions::ignore_unsupported has let pass
};

// ---------------------------------------------------------------- reading

struct Text {
  std::string file;  // its name, for messages
  std::string content;
};

struct ParseOptions {
  std::string file = "manifest";
  // ConfigMaps and Secrets of other files.
  std::vector<Text> configs;
  // What trivet does not honour, or does not know, is a warning instead of an error.
  bool ignore_unsupported = false;
  int64_t grace_seconds = 30;  // of a pod that says none
};

// Everything that is wrong is found at once: the first in the order of the file is the error, the
// others are its notes. Each is "FILE:LINE:COLUMN: FIELD: what is wrong: what is allowed".
// kInvalidArgument; kUnsupported when nothing is wrong but trivet can't do it; kLimitExceeded for a
// document that is larger than any manifest.
Result<Manifest> parse_manifest(std::string_view text, const ParseOptions& options);

}  // namespace trivet::manifest
