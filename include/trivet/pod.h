// Pods: several containers that share a network and volumes, and start together or not at all. The
// operations are members of trivet::Engine (trivet/engine.h).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

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
  bool experimental = false;
  std::vector<std::string> publish;     // more ports, as -p has them
  std::vector<std::string> extensions;  // NAME, or NAME=PATH; see docs/extensions.md
  std::string pull;                     // "missing", "always", "never"; empty: each container's own
  TransferOptions transfer;             // of the pulls; its progress is not used
  std::function<void(const std::string& image, const TransferEvent&)> progress;
  std::function<void(const std::string&)> on_warning;
};

enum class PodPhase { kPreparing, kStarting, kRunning, kStopping, kSucceeded, kFailed };
[[nodiscard]] const char* pod_phase_name(PodPhase phase);

struct PodContainerInfo {
  std::string name;  // in the pod
  std::string role;  // "init", "sidecar", "main"
  bool started = false;
  bool ready = false;
  std::string message;  // of the last probe that failed
  ContainerInfo container;
};

struct PodInfo {
  std::string id;  // 64 hex digits
  std::string name;
  std::string name_space;
  PodPhase phase = PodPhase::kPreparing;
  std::string reason;
  std::string message;
  std::string isolation;
  int infra_pid = 0;
  int monitor_pid = 0;
  std::chrono::system_clock::time_point created;
  std::optional<std::chrono::system_clock::time_point> started;
  std::optional<std::chrono::system_clock::time_point> finished;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<PublishedPort> ports;
  std::vector<PodContainerInfo> containers;
};

}  // namespace trivet
