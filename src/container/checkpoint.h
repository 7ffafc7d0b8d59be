// Checkpoints of containers: an image of its processes in a directory, made and brought to life
// again by CRIU (criu(8)). Files are not in it: whoever moves a container moves its root too.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "container/container.h"
#include "container/criu_message.h"
#include "container/plan.h"
#include "oci/spec.h"

namespace trivet::container {

// For both ways; what is only for one says so.
struct CheckpointOptions {
  std::string image_directory;  // absolute; checkpoint() makes it
  std::string work_directory;   // absolute, for logs; made; empty: the image's
  criu::Options criu;           // as far as they are a user's
  bool pre_dump = false;        // memory only, and the container goes on: a parent of a later image
};

// Writes the image of a running or paused container (kWrongState otherwise). Its processes are gone
// afterwards, unless they are to be left running; the container is to be removed by the caller.
// When it fails the container goes on.
Result<> checkpoint(const Container& container, const CheckpointOptions& options);

// A container whose init and other processes are those of the image, in the state "running".
// `options` are as for create(); what fails leaves nothing.
Result<Container> restore(const oci::Spec& spec, const CreateOptions& options,
                          const CheckpointOptions& image);

// A mount in the container that is of the host, and comes from there again when it is restored.
struct HostMount {
  std::string target;
  std::string source;
  bool is_mask = false;  // /dev/null, if a file is masked there
};
// kUnsupported for what CRIU can't bring back: idmapped mounts.
Result<std::vector<HostMount>> plan_host_mounts(const RootPlan& plan);

// Namespaces of others that the container is in, which have a name in the image.
struct SharedNamespace {
  std::string path;
  std::string kind;  // "net"
  std::string name;
};
[[nodiscard]] std::vector<SharedNamespace> plan_shared_namespaces(const oci::Spec& spec);

// Beside the image: what the init's 0, 1 and 2 were, as a JSON list of CRIU's names for them. The
// name and the form are runc's.
inline constexpr const char* kDescriptorsFile = "descriptors.json";

// Where CRIU writes its log.
[[nodiscard]] const std::string& log_directory(const CheckpointOptions& options);

}  // namespace trivet::container
