// What the operations of trivet::Engine (trivet/engine.h) take and give. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "trivet/result.h"

namespace trivet {

// ---------------------------------------------------------------- moving images

struct TransferEvent {
  enum class Kind {
    kResolved,
    kExists,
    kDownloading,
    kDownloaded,
    kUnpacking,
    kUnpacked,
    kRetry,
    kUploading,
    kUploaded
  };
  Kind kind = Kind::kDownloading;
  std::string digest;
  uint64_t done = 0;
  uint64_t total = 0;
  std::string message;
};
using TransferProgress = std::function<void(const TransferEvent&)>;

struct TransferOptions {
  bool tls_verify = true;
  std::string ca_file;
  std::string credentials;  // "user:password"
  std::string auth_file;
  std::string platform;  // "linux/amd64"; empty: this host's
  TransferProgress progress;
  std::stop_token stop;
};

// ---------------------------------------------------------------- what to run

struct MountOption {
  std::string type;                  // "bind", "volume", "tmpfs"
  std::string source;                // host path (bind), name (volume; empty: anonymous)
  std::string destination;           // absolute
  std::vector<std::string> options;  // "ro", "rw", "z", "rprivate", "size=64m", …
  std::string sub_path;              // what of the source: symlinks in it lead nowhere else
};

struct RestartPolicy {
  enum class Kind { kNo, kOnFailure, kAlways, kUnlessStopped };
  Kind kind = Kind::kNo;
  int max_retries = 0;  // kOnFailure; 0: no limit
};

// Every member has the default of `trivet run`.
struct RunOptions {
  // Exactly one of image and rootfs.
  std::string image;
  std::string rootfs;  // a directory; changed only with rootfs_write
  bool rootfs_write = false;
  std::vector<std::string> command;                    // replaces the image's CMD
  std::optional<std::vector<std::string>> entrypoint;  // replaces the image's; {} clears it

  std::string name;          // empty: one is made up
  std::string hostname;      // empty: the id's first 12 digits
  bool terminal = false;     // -t
  bool interactive = false;  // -i: stdin stays connected
  bool detach = false;
  bool remove = false;  // --rm
  bool init = false;    // a small init reaps zombies as pid 1

  std::vector<std::string> env;  // "NAME=VALUE", or "NAME" to take it from the caller
  std::vector<std::string> env_files;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::string workdir;
  std::string user;
  std::vector<std::string> groups;  // --group-add

  std::vector<std::string> volumes;  // Docker's -v: SRC:DST[:OPTIONS]
  std::vector<MountOption> mounts;   // --mount
  std::vector<std::string> tmpfs;    // DST[:OPTIONS]
  bool read_only = false;
  int64_t shm_size = 64LL << 20U;  // bytes

  std::string network = "pasta";     // see `--network`
  std::vector<std::string> publish;  // -p
  std::vector<std::string> dns;
  std::vector<std::string> dns_search;
  std::vector<std::string> dns_options;
  std::vector<std::string> add_hosts;  // "name:address"

  // Limits; empty optionals mean none.
  std::optional<int64_t> memory;              // bytes
  std::optional<int64_t> memory_swap;         // bytes, memory plus swap; -1 unlimited
  std::optional<int64_t> memory_reservation;  // bytes
  std::optional<int64_t> pids;
  std::optional<int64_t> cpu_quota;    // microseconds in a period
  std::optional<uint64_t> cpu_period;  // microseconds
  std::optional<uint64_t> cpu_shares;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::vector<std::string> ulimits;  // "nofile=1024:2048"
  std::optional<int> oom_score_adj;
  bool oom_kill_disable = false;

  std::vector<std::string> cap_add;
  std::vector<std::string> cap_drop;
  bool privileged = false;
  std::vector<std::string> security_opt;  // no-new-privileges, seccomp=…, apparmor=…, label=…,
                                          // mask=…, unmask=…
  std::vector<std::string> devices;       // HOST[:CONTAINER][:rwm]
  std::map<std::string, std::string> sysctls;
  std::string pid_mode;  // "", "host", "container:NAME"
  std::string ipc_mode;  // "", "host", "private"
  std::string uts_mode;  // "", "host"
  std::string cgroup_parent;
  // "" and "auto": by annotations, image and program; "native", "wasm", "microvm".
  std::string isolation;
  bool experimental = false;  // microvm: allowed though it is not yet ripe
  std::string vmm;            // microvm: the machine's program, "qemu", "libkrun"; "": qemu
  std::string accelerator;    // microvm: "auto", "kvm", "tcg"; "": auto
  bool no_template = false;   // microvm: boot, instead of restoring a machine that has booted
  std::string disk_size;      // microvm: of the writable disk, "20g"; "": 10 GiB
  std::string invoke;         // Wasm: the exported function that is called instead of the start
  std::string fuel;           // Wasm: instructions it may execute, or "off"; "": 1,000,000,000

  RestartPolicy restart;
  int stop_signal = 0;  // 0: the image's, else SIGTERM
  std::chrono::seconds stop_timeout{10};
  std::optional<std::chrono::milliseconds> timeout;  // the whole run; then stopped, exit code 124
  uint64_t log_max_size = 10ULL << 20U;              // bytes of one log file
  int log_max_files = 3;

  std::string pull = "missing";  // "missing", "always", "never"
  TransferOptions transfer;      // of that pull
  // Receives what is no failure: that a microVM is emulated in software.
  std::function<void(const std::string&)> on_warning;
  std::string detach_keys = "ctrl-p,ctrl-q";  // in the foreground, with a terminal
};

// ---------------------------------------------------------------- what there is

enum class ContainerStatus { kCreated, kRunning, kPaused, kStopped, kRestarting, kBroken };
[[nodiscard]] const char* container_status_name(ContainerStatus status);

struct PublishedPort {
  std::string host_ip;
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  std::string protocol;
};

struct ContainerInfo {
  std::string id;  // 64 hex digits
  std::string name;
  std::string image;     // as it was named; the directory with --rootfs
  std::string image_id;  // empty with --rootfs
  std::vector<std::string> command;
  ContainerStatus status = ContainerStatus::kStopped;
  std::string isolation;  // "native", "wasm"
  int pid = 0;            // of the init on the host; 0 when it does not run
  int monitor_pid = 0;    // 0 when there is none
  int exit_code = 0;      // of the last run
  bool oom_killed = false;
  std::string error;  // why it could not run, if so
  int restart_count = 0;
  std::chrono::system_clock::time_point created;
  std::optional<std::chrono::system_clock::time_point> started;
  std::optional<std::chrono::system_clock::time_point> finished;
  std::vector<PublishedPort> ports;
  std::map<std::string, std::string> labels;
  std::string pod;                  // the id of the pod it belongs to; empty: none
  std::optional<uint64_t> rw_size;  // bytes of the writable layer; only when asked for
};

struct ContainerStats {
  std::string id;
  std::string name;
  double cpu_percent = 0;  // of one CPU, since the last sample
  uint64_t cpu_usage_ns = 0;
  uint64_t memory_usage = 0;  // bytes without reclaimable page cache
  uint64_t memory_limit = 0;  // bytes; the host's memory when unlimited
  uint64_t pids = 0;
  uint64_t pids_limit = 0;  // 0: unlimited
  uint64_t block_read = 0;
  uint64_t block_write = 0;
  uint64_t net_rx = 0;
  uint64_t net_tx = 0;
};

struct LogLine {
  enum class Stream { kStdout, kStderr };
  std::chrono::system_clock::time_point time;
  Stream stream = Stream::kStdout;
  std::string text;      // without the line end
  bool partial = false;  // no line end followed (yet)
};

struct LogOptions {
  bool follow = false;
  std::optional<uint64_t> tail;  // the last N lines
  std::optional<std::chrono::system_clock::time_point> since;
  std::optional<std::chrono::system_clock::time_point> until;
  std::stop_token stop;  // ends following
};

struct ExecOptions {
  std::vector<std::string> command;
  bool terminal = false;
  bool interactive = false;
  bool detach = false;
  std::vector<std::string> env;
  std::string workdir;
  std::string user;
  bool privileged = false;
  std::string invoke;  // Wasm: the exported function that is called instead of the program's start
  std::string detach_keys = "ctrl-p,ctrl-q";
};

struct ImageInfo {
  std::string id;                  // "sha256:…"
  std::string digest;              // of the manifest
  std::vector<std::string> names;  // "docker.io/library/busybox:latest"; empty: dangling
  uint64_t size = 0;               // bytes unpacked
  std::chrono::system_clock::time_point created;
  std::map<std::string, std::string> labels;
  std::string os;
  std::string architecture;
};

// How the caller's own streams are joined to a container's. Whether there is a terminal is the
// container's own setting.
struct AttachOptions {
  bool interactive = false;  // forward stdin
  std::string detach_keys = "ctrl-p,ctrl-q";
  bool forward_signals = true;  // SIGINT, SIGTERM, … to the container
};

struct AttachResult {
  bool detached = false;  // by the detach keys: the container goes on
  int exit_code = 0;
};

struct RemoveResult {
  std::string name;
  bool removed = false;
  std::optional<Error> error;
};

struct PruneResult {
  std::vector<std::string> removed;
  uint64_t bytes = 0;
};

struct VolumeInfo {
  std::string name;
  std::string path;
  std::chrono::system_clock::time_point created;
  std::vector<std::string> used_by;  // container names
};

// Where the kernel of microVMs comes from; by default Debian's for virtual machines, unless there
// is a kernel already.
struct VmSetupOptions {
  std::string kernel;   // a package, or the path of a vmlinux, a bzImage or a package's file
  std::string modules;  // with a kernel's file: the directory of its modules
  std::string from;     // a directory that another setup made
  bool from_source = false;
  std::function<void(const std::string&)> progress;  // receives what is being done
};

struct VmKernelInfo {
  std::string id;       // the first digits of its digest
  std::string release;  // `uname -r`
  std::string source;   // "linux-image-…_VERSION", a path
  std::string digest;   // "sha256:…"
  std::string directory;
  bool acpi = true;      // it finds its devices through ACPI
  bool current = false;  // microVMs get this one
  uint64_t size = 0;     // bytes, with its modules
  std::vector<std::string> modules;
};

struct VmSetup {
  VmKernelInfo kernel;
  bool was_there = false;
  std::string initramfs;  // its path; empty when trivet-vminit is not installed
};

}  // namespace trivet
