// From a manifest to what is made of it: a pure step, as plan.h is for one container.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "manifest/manifest.h"
#include "net/network.h"
#include "oci/spec.h"
#include "pod/record.h"
#include "trivet/pod.h"
#include "trivet/types.h"

namespace trivet::runtime {

// A directory of the pod: DATA/pods/ID/volumes/NAME.
struct PodVolume {
  struct File {
    std::string path;  // below the volume, checked: relative, without ".."
    std::string content;
    uint32_t mode = 0644;
  };
  std::string name;
  std::vector<File> files;               // of a configMap, secret, projected or downwardAPI volume
  std::vector<std::string> directories;  // below it: the sub-paths of mounts, checked like files
  std::optional<uint32_t> fs_group;      // owns it, with set-gid on the directory
  uint32_t mode = 0777;                  // of the directory
};

// A path of the host that has to be there, or is made (hostPath's type).
struct HostPathUse {
  enum class Kind {
    kAny,
    kDirectory,
    kDirectoryOrCreate,
    kFile,
    kFileOrCreate,
    kSocket,
    kCharDevice,
    kBlockDevice
  };
  std::string volume;  // its name in the manifest, for messages
  std::string path;
  Kind kind = Kind::kAny;
};

struct PlannedContainer {
  RunOptions options;             // image, command, env, mounts, limits, security
  bool must_not_be_root = false;  // runAsNonRoot: checked when the image's user is known
};

struct PodPlan {
  pod::PodRecord record;                     // ids filled in; the ports as asked for
  std::vector<PlannedContainer> containers;  // in the order of record.containers
  std::vector<PodVolume> volumes;
  std::vector<HostPathUse> host_paths;
  net::HostsOptions hosts;
  net::DnsOptions dns;
  std::map<std::string, std::string> sysctls;  // set in the infra container
  std::vector<std::string> warnings;           // with ignore_unsupported
};

struct PodPlanInput {
  const manifest::Manifest& manifest;
  const PodOptions& options;
  std::string id;                          // of the pod
  std::string directory;                   // DATA/pods/ID
  std::vector<std::string> container_ids;  // as many as the manifest has containers
  Timestamp created{};
  std::string host_name;
  std::string host_address;  // what status.hostIP says
  std::string address;       // what status.podIP says, and the pod's /etc/hosts
  // Where a program or library of trivet's is; empty: not installed. base/paths' find_companion.
  std::function<std::string(const std::string& file)> find_companion;
};

// What the options, the manifest, or at last the options' default say; empty: each container for
// itself.
[[nodiscard]] std::string pod_isolation(const manifest::Pod& pod, const PodOptions& options);

// Errors are kInvalidArgument or kUnsupported and name the field with its line.
Result<PodPlan> plan_pod(const PodPlanInput& input);

}  // namespace trivet::runtime
