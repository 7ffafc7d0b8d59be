// What a container of `trivet run` is on disk, apart from its OCI state.
//
// DATA/containers/ID/            one directory a container, mode 0700
//   record.json                  Record: written by the library at creation, replaced by rename
//   config.json                  the OCI spec
//   status.json                  Status: written by the monitor, replaced by rename
//   upper/ work/                 the writable layer of the overlay
//   hosts resolv.conf hostname   bound into the container
//   logs/                        see log_file.h
// DATA/names/NAME                symlink to ID: the claim on the name, made with symlinkat(2),
// which
//                                fails when the name is taken
// DATA/volumes/NAME/_data        named and anonymous volumes; volume.json beside _data
// STATE/containers/ID/           attach.sock; lock (an open file description
//                                lock on it is held while a monitor lives: fcntl(2))
// STATE/oci/ID/                  the engine's own state (container::CreateOptions::state_root is
// STATE/oci)
//
// The monitor is the only writer of status.json while it lives. Whoever finds a record whose
// monitor is gone (the lock is free) may clean up.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/text.h"
#include "container/container.h"
#include "net/network.h"

namespace trivet::monitor {

enum class RestartKind { kNo, kOnFailure, kAlways, kUnlessStopped };
[[nodiscard]] const char* restart_kind_name(RestartKind kind);  // "on-failure", …

struct Record {
  std::string id;
  std::string name;
  std::string image;     // as it was named, or the directory of --rootfs
  std::string image_id;  // empty with --rootfs
  std::vector<std::string> command;
  std::map<std::string, std::string> labels;
  Timestamp created{};
  std::string isolation = "native";
  std::string pod;  // the id of the pod it belongs to; empty: none

  // What the monitor needs to run it.
  std::optional<container::OverlayRoot> overlay;  // nothing: --rootfs-write
  std::string rootfs;                             // without an overlay
  net::Mode network = net::Mode::kPasta;
  std::string network_target;  // kContainer: the id
  std::vector<net::PortMapping> ports;
  bool terminal = false;
  bool interactive = false;
  bool init = false;    // the program is trivet-init
  bool remove = false;  // when it ends, the monitor removes every trace
  RestartKind restart = RestartKind::kNo;
  int restart_retries = 0;
  int stop_signal = 15;
  int64_t stop_timeout_ms = 10000;
  std::optional<int64_t> timeout_ms;
  uint64_t log_max_size = 0;
  int log_max_files = 0;
  std::vector<std::string> anonymous_volumes;  // removed with the container

  // The options it was made with, for `inspect`; the library's own JSON.
  std::string options_json;
};

// Whether it is a microVM.
[[nodiscard]] bool is_machine(const Record& record);

enum class Phase { kCreated, kRunning, kPaused, kRestarting, kExited };
[[nodiscard]] const char* phase_name(Phase phase);

// What a Wasm container's host said of the last run.
struct WasmStatus {
  bool code_was_cached = false;
  std::string outcome;  // "exited", "out of fuel", …
  std::string message;  // why it was ended
  uint64_t fuel_used = 0;
  uint64_t memory_bytes = 0;
};

// A microVM's machine.
struct VmStatus {
  std::string vmm;
  std::string kernel;
  std::string accelerator;
  uint32_t vcpus = 0;
  uint64_t memory_mib = 0;
  bool from_template = false;
  uint64_t boot_us = 0;  // from the VMM's start to the agent's answer; 0: not known yet
  std::string message;   // why it is slow to start, or ended, if not by itself
};

struct Status {
  Phase phase = Phase::kCreated;
  ProcessId monitor;
  ProcessId init;
  ProcessId pasta;
  int exit_code = 0;
  bool oom_killed = false;
  std::string error;  // why the last start failed, if it did
  int restart_count = 0;
  std::optional<Timestamp> started;
  std::optional<Timestamp> finished;
  bool stopped_by_user = false;  // no restart policy applies
  std::optional<WasmStatus> wasm;
  std::optional<VmStatus> vm;
};

struct Directories {
  std::string data;   // "/var/lib/trivet"
  std::string state;  // "/run/trivet"
  [[nodiscard]] std::string container(const std::string& id) const {
    return data + "/containers/" + id;
  }
  [[nodiscard]] std::string runtime(const std::string& id) const {
    return state + "/containers/" + id;
  }
  // What is left of containers that are gone: nobody needs to wait for its removal.
  [[nodiscard]] std::string removed() const { return data + "/removed"; }
  // A link for each name that is taken: to the id that holds it.
  [[nodiscard]] std::string names() const { return data + "/names"; }
  [[nodiscard]] std::string engine() const { return state + "/oci"; }
};

Result<> write_record(const Directories& directories, const Record& record);
Result<Record> read_record(const Directories& directories, const std::string& id);
Result<> write_status(const Directories& directories, const std::string& id, const Status& status);
// A container whose monitor never wrote one has the default Status.
Result<Status> read_status(const Directories& directories, const std::string& id);

// True while a monitor holds the container's lock.
[[nodiscard]] bool monitor_alive(const Directories& directories, const std::string& id);

// Frees a name, only if `id` holds it: of several who do so at the same time, none takes it from
// whoever has it next. Being free already is fine.
Result<> release_name(const Directories& directories, const std::string& name,
                      const std::string& id);

// Ends whatever of it still runs (init, cgroup, pasta), then removes its directories, volumes and
// name. Idempotent; used by the monitor for --rm and by the library for rm and prune. Callers have
// made sure that no monitor holds the lock (or are that monitor).
Result<> remove_container(const Directories& directories, const Record& record);

}  // namespace trivet::monitor
