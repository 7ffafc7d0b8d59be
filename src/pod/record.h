// What a pod is on disk, and what its supervisor (the program trivet-pod-monitor) works from.
//
// DATA/pods/ID/                  one directory a pod, mode 0700
//   record.json                  PodRecord: written by the library, never changed
//   status.json                  PodStatus: written by the supervisor, replaced by rename
//   journal                      see journal.h; locked while the library or the supervisor lives
//   config.json                  the OCI spec of the infra container
//   hosts resolv.conf hostname   bound into every container of the pod
//   volumes/NAME                 emptyDir volumes, and the files of configMaps and secrets
// DATA/pod-names/NAME            symlink to ID: the claim on the name
// STATE/containers/ID/           as a container's: attach.sock, lock (monitor/attach.h, kStop and
//                                kExit alone)
//
// Its containers are containers like any other (monitor/record.h) whose Record::pod names it; their
// monitors live in the supervisor's process. The infra container has no Record: it is known to the
// engine alone, by the pod's id. Memory volumes and /dev/shm are mounts of the supervisor's own
// mount namespace, so that none outlives it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/text.h"
#include "monitor/record.h"
#include "net/network.h"

namespace trivet::pod {

// ---------------------------------------------------------------- what is asked of a container

// One thing that is done to see how a container is, or around its life: exactly one of the kinds.
struct Action {
  enum class Kind { kExec, kHttp, kTcp, kGrpc, kSleep };
  Kind kind = Kind::kExec;
  std::vector<std::string> command;  // kExec
  std::string host;                  // kHttp, kTcp; empty: 127.0.0.1 in the pod's network
  uint16_t port = 0;                 // kHttp, kTcp, kGrpc
  std::string path = "/";            // kHttp
  bool https = false;                // kHttp; the certificate is not checked, as in Kubernetes
  std::vector<std::pair<std::string, std::string>> headers;  // kHttp
  std::string service;                                       // kGrpc
  int64_t sleep_ms = 0;                                      // kSleep
};

// Kubernetes' defaults.
struct Probe {
  Action action;
  int64_t initial_delay_ms = 0;
  int64_t period_ms = 10000;
  int64_t timeout_ms = 1000;
  int success_threshold = 1;
  int failure_threshold = 3;
  std::optional<int64_t> grace_ms;  // terminationGracePeriodSeconds of the probe
};

enum class Role {
  kInit,     // runs to its end before the next one starts
  kSidecar,  // an init container with restartPolicy Always: goes on, ends last
  kMain
};
[[nodiscard]] const char* role_name(Role role);  // "init", "sidecar", "main"

struct PodContainer {
  std::string id;    // of its Record
  std::string name;  // in the pod
  Role role = Role::kMain;
  std::optional<Probe> startup;
  std::optional<Probe> liveness;
  std::optional<Probe> readiness;
  std::optional<Action> post_start;
  std::optional<Action> pre_stop;
};

// ---------------------------------------------------------------- the pod

struct MemoryVolume {
  std::string name;   // mounted on volumes/NAME
  uint64_t size = 0;  // bytes; 0: the kernel's default, half of the memory
};

// Code that the infra container runs for the pod; see docs/extensions.md.
struct Extension {
  std::string name;
  std::string path;      // on the host: an executable, or a shared library (".so")
  std::string settings;  // given to it as they are
};

struct PodRecord {
  std::string id;
  std::string name;
  std::string name_space;  // metadata.namespace: kept, not acted on
  Timestamp created{};
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<PodContainer> containers;  // init containers and sidecars in order, then the others
  std::string isolation = "native";      // "microvm": one machine for all its containers
  std::string hostname;
  bool share_pid = false;
  net::Mode network = net::Mode::kPasta;  // or kHost, kNone
  std::vector<net::PortMapping> ports;
  std::string cgroup_parent;  // "/trivet-pod-ID"
  std::string resources;      // of the whole pod: OCI's linux.resources as JSON; empty: no limits
  std::map<std::string, std::string> sysctls;
  uint64_t shm_size = 64ULL << 20U;
  std::vector<MemoryVolume> memory_volumes;
  std::vector<Extension> extensions;
  int64_t grace_ms = 30000;            // terminationGracePeriodSeconds
  std::optional<int64_t> deadline_ms;  // activeDeadlineSeconds
  int64_t start_timeout_ms = 60000;    // of one container, up to started and ready
};

enum class PodPhase { kPreparing, kStarting, kRunning, kStopping, kSucceeded, kFailed };
[[nodiscard]] const char* pod_phase_name(PodPhase phase);  // "preparing", …

struct ContainerCondition {
  std::string name;
  bool started = false;  // its startup probe has passed, or it has none and runs
  bool ready = false;
  std::string message;  // of the last probe that failed
};

struct PodStatus {
  PodPhase phase = PodPhase::kPreparing;
  ProcessId supervisor;
  ProcessId infra;
  ProcessId pasta;
  std::optional<Timestamp> started;  // all of it ran
  std::optional<Timestamp> finished;
  std::string reason;   // "DeadlineExceeded", "Stopped", "MonitorLost"; empty: nothing special
  std::string message;  // why it failed
  std::vector<ContainerCondition> containers;
  std::vector<net::PortMapping> extension_ports;  // what extensions have published
};

struct PodPaths {
  monitor::Directories directories;
  std::string id;
  [[nodiscard]] std::string data() const { return directories.data + "/pods/" + id; }
  [[nodiscard]] std::string state() const { return directories.runtime(id); }
  [[nodiscard]] std::string journal() const { return data() + "/journal"; }
  [[nodiscard]] std::string volume(const std::string& name) const {
    return data() + "/volumes/" + name;
  }
};

Result<> write_pod_record(const PodPaths& paths, const PodRecord& record);
Result<PodRecord> read_pod_record(const PodPaths& paths);
Result<> write_pod_status(const PodPaths& paths, const PodStatus& status);
// The default when there is none yet.
Result<PodStatus> read_pod_status(const PodPaths& paths);

}  // namespace trivet::pod
