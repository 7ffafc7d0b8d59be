// Pods: several containers that share a network and volumes, and start together or not at all. The
// operations are members of trivet::Engine (trivet/engine.h).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trivet/export.h"
#include "trivet/types.h"

namespace trivet {

// How a manifest is run; every member has the default of `trivet pod run`.
struct PodOptions {
  // Where relative file names of the manifest's errors point: "pod.yaml". Only for messages.
  std::string manifest_name = "manifest";
  // Manifests with the ConfigMaps and Secrets that the pod names, besides those in its own file.
  std::vector<std::string> config_files;  // paths
  // A field that trivet does not honour is a warning instead of an error.
  bool ignore_unsupported = false;
  std::string name;       // instead of metadata.name
  std::string isolation;  // instead of what the manifest says: "native", "microvm", "wasm"
  // What isolates a pod of which neither `isolation` nor its manifest says anything; as above. "":
  // native, and what an image is made for. "wasm" is for those containers that say nothing.
  std::string default_isolation;
  bool experimental = false;  // microVMs are allowed though they are not yet ripe
  // Of each container, until it is started and ready, besides the time that its probes may take.
  // Init containers have all the time they need.
  std::chrono::milliseconds start_timeout{60000};
  std::chrono::seconds grace{30};  // of a manifest without terminationGracePeriodSeconds
  // How large a microVM may be, whatever the manifest asks for.
  int64_t microvm_max_cpus = 8;             // processors
  int64_t microvm_max_memory = 4LL << 30U;  // bytes
  std::vector<std::string> publish;         // more ports, as -p has them
  std::vector<std::string> extensions;      // NAME, or NAME=PATH; see docs/extensions.md
  std::string pull;          // "missing", "always", "never"; empty: each container's own
  TransferOptions transfer;  // of the pulls; its progress is not used
  // Receives the events of all pulls.
  std::function<void(const std::string& image, const TransferEvent&)> progress;
  // Receives what is no failure, such as a field that is not honoured.
  std::function<void(const std::string&)> on_warning;
};

// Where a pod is in its life.
enum class PodPhase {
  kPreparing,  // images are pulled, containers created; nothing of the manifest runs yet
  kStarting,   // containers are started, in their order, and their probes awaited
  kRunning,    // all of it
  kStopping,   // hooks run, and containers have their time to end
  kSucceeded,  // all containers have ended with exit code 0
  kFailed      // one has not, or the pod could not go on: `reason` and `message` say why
};
// "preparing", "starting", and so on: the word of `trivet pod ps`.
[[nodiscard]] TRIVET_API const char* pod_phase_name(PodPhase phase);

// A container of a pod.
struct PodContainerInfo {
  std::string name;         // in the pod
  std::string role;         // "init", "sidecar", "main"
  bool started = false;     // its startup probe has succeeded, or it has none
  bool ready = false;       // its readiness probe succeeds, or it has none
  std::string message;      // of the last probe that failed
  ContainerInfo container;  // the container itself
};

// A pod at the moment of the call.
struct PodInfo {
  std::string id;                         // 64 hex digits
  std::string name;                       // unique on this host
  std::string name_space;                 // metadata.namespace; only a label here
  PodPhase phase = PodPhase::kPreparing;  // where it is in its life
  std::string reason;                     // kFailed: one word, as Kubernetes has it
  std::string message;                    // kFailed: in a person's words
  std::string isolation;                  // "native", "microvm", "wasm"
  int infra_pid = 0;    // of the infra container on the host; 0 when it does not run
  int monitor_pid = 0;  // of the pod's supervisor; 0 when there is none
  std::chrono::system_clock::time_point created;                  // when it was made
  std::optional<std::chrono::system_clock::time_point> started;   // when all of it ran
  std::optional<std::chrono::system_clock::time_point> finished;  // when it had ended
  std::map<std::string, std::string> labels;                      // metadata.labels
  std::map<std::string, std::string> annotations;                 // metadata.annotations
  std::vector<PublishedPort> ports;                               // that lead into it
  std::vector<PodContainerInfo> containers;                       // in the manifest's order
};

}  // namespace trivet
