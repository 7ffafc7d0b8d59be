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

#include "trivet/export.h"
#include "trivet/result.h"

namespace trivet {

// ---------------------------------------------------------------- moving images

// One step of a pull or a push. Events of several blobs come mixed.
struct TransferEvent {
  // What has happened.
  enum class Kind {
    kResolved,     // a layer of the image, in their order, before anything is transferred
    kExists,       // the store (on push: the registry) has the blob
    kDownloading,  // about ten times a second
    kDownloaded,   // whole, and its digest is right
    kUnpacking,    // `done` counts compressed bytes
    kUnpacked,     // the layer can be used
    kRetry,        // a connection broke or a mirror failed; it is tried again
    kUploading,    // as with downloads
    kUploaded      // the registry has it
  };
  Kind kind = Kind::kDownloading;  // which step
  std::string digest;              // of the blob; of a manifest that is tried again, its tag
  uint64_t done = 0;               // bytes moved
  uint64_t total = 0;              // bytes to move; 0 when it is not known
  std::string message;             // kRetry: why
};
// Receives events while a transfer goes on, from threads of the transfer, one at a time. It should
// return soon.
using TransferProgress = std::function<void(const TransferEvent&)>;

// How a registry is spoken to.
struct TransferOptions {
  bool tls_verify = true;     // false: any certificate and, on loopback, plain HTTP will do
  std::string ca_file;        // more certificate authorities, as PEM; a path
  std::string credentials;    // "user:password"
  std::string auth_file;      // as `podman login` writes it; empty: where podman and Docker look
  std::string platform;       // "linux/amd64"; empty: this host's
  TransferProgress progress;  // may be empty
  std::stop_token stop;       // ends the transfer with kCanceled
};

// What is particular about one registry, whatever image is wanted from it. Weaker than
// TransferOptions.
struct RegistrySettings {
  std::string host;                  // as in references: "docker.io", "127.0.0.1:5000"
  std::vector<std::string> mirrors;  // asked first on a pull, in order: "https://host[:port]"
  bool plain_http = false;           // it speaks HTTP; credentials are then sent to loopback only
  std::string ca_file;               // more certificate authorities, as PEM, of its mirrors too
};

// What images may be. One that is larger is kLimitExceeded, and nothing of it is left.
struct ImageLimits {
  int64_t size = 4LL << 30U;          // bytes, all layers unpacked
  int64_t layers = 128;               // of one image
  int64_t layer_size = 512LL << 20U;  // bytes, compressed
  int64_t layer_files = 100000;       // files of one layer
  // All of them.
  friend bool operator==(const ImageLimits&, const ImageLimits&) = default;
};

// ---------------------------------------------------------------- what to run

// One mount of a container, as `--mount` has it.
struct MountOption {
  std::string type;                  // "bind", "volume", "tmpfs"
  std::string source;                // host path (bind), name (volume; empty: anonymous)
  std::string destination;           // absolute
  std::vector<std::string> options;  // "ro", "rw", "z", "rprivate", "size=64m", …
  std::string sub_path;              // what of the source: symlinks in it lead nowhere else
};

// Whether a container that has ended is started again, by its monitor.
struct RestartPolicy {
  // In which cases.
  enum class Kind {
    kNo,            // never
    kOnFailure,     // after an exit code that is not 0
    kAlways,        // unless it was stopped by a person
    kUnlessStopped  // the same
  };
  Kind kind = Kind::kNo;  // in which cases
  int max_retries = 0;    // kOnFailure; 0: no limit
};

// What to run, and how; every member has the default of `trivet run`. trivet-run(1) explains each
// option at length.
struct RunOptions {
  // Exactly one of image and rootfs. An image is pulled when it is not there, see `pull`.
  std::string image;
  std::string rootfs;                // a directory; changed only with rootfs_write
  bool rootfs_write = false;         // what the container writes goes into that directory
  std::vector<std::string> command;  // replaces the image's CMD
  std::optional<std::vector<std::string>> entrypoint;  // replaces the image's; {} clears it

  std::string name;          // empty: one is made up
  std::string hostname;      // empty: the id's first 12 digits
  bool terminal = false;     // -t
  bool interactive = false;  // -i: stdin stays connected
  bool detach = false;       // it goes on without the caller
  bool remove = false;       // --rm: it is removed as soon as it has ended
  bool init = false;         // a small init reaps zombies as pid 1

  std::vector<std::string> env;               // "NAME=VALUE", or "NAME" to take it from the caller
  std::vector<std::string> env_files;         // paths; a NAME=VALUE each line
  std::map<std::string, std::string> labels;  // to find it by
  std::map<std::string, std::string> annotations;  // of the runtime specification
  std::string workdir;                             // empty: the image's
  std::string user;                 // "USER[:GROUP]", names or numbers; empty: the image's
  std::vector<std::string> groups;  // --group-add: names or numbers

  std::vector<std::string> volumes;  // Docker's -v: SRC:DST[:OPTIONS]
  std::vector<MountOption> mounts;   // --mount
  std::vector<std::string> tmpfs;    // DST[:OPTIONS]
  bool read_only = false;            // the root file system
  int64_t shm_size = 64LL << 20U;    // bytes

  std::string network = "pasta";         // see `--network`
  std::vector<std::string> publish;      // -p
  std::vector<std::string> dns;          // addresses of name servers; empty: the host's
  std::vector<std::string> dns_search;   // domains
  std::vector<std::string> dns_options;  // of resolv.conf(5)
  std::vector<std::string> add_hosts;    // "name:address"

  // Limits; empty optionals mean none.
  std::optional<int64_t> memory;              // bytes
  std::optional<int64_t> memory_swap;         // bytes, memory plus swap; -1 unlimited
  std::optional<int64_t> memory_reservation;  // bytes
  std::optional<int64_t> pids;                // processes and threads; 0 or less: unlimited
  std::optional<int64_t> cpu_quota;           // microseconds in a period
  std::optional<uint64_t> cpu_period;         // microseconds
  std::optional<uint64_t> cpu_shares;         // a weight, 1024 is the usual one
  std::string cpuset_cpus;                    // "0-2,7"
  std::string cpuset_mems;                    // memory nodes, as above
  std::vector<std::string> ulimits;           // "nofile=1024:2048"
  std::optional<int> oom_score_adj;           // -1000 to 1000; see proc(5)
  bool oom_kill_disable = false;              // cgroup v1 only; needs a limit on memory

  std::vector<std::string> cap_add;   // "NET_ADMIN", "ALL"
  std::vector<std::string> cap_drop;  // the same; what is in both is dropped
  bool privileged = false;            // all capabilities and devices, no seccomp, nothing masked
  std::vector<std::string> security_opt;  // no-new-privileges, seccomp=…, apparmor=…, label=…,
                                          // mask=…, unmask=…
  std::vector<std::string> devices;       // HOST[:CONTAINER][:rwm], CDI's VENDOR/CLASS=NAME
  // Where files of CDI are, the later ones stronger; empty: TRIVET_CDI_SPEC_DIRS, else /etc/cdi and
  // /var/run/cdi.
  std::vector<std::string> cdi_spec_dirs;
  std::map<std::string, std::string> sysctls;  // by name: "net.core.somaxconn"
  std::string pid_mode;                        // "", "host", "container:NAME"
  std::string ipc_mode;                        // "", "host", "private"
  std::string uts_mode;                        // "", "host"
  std::string cgroup_parent;                   // a cgroup, or a slice of systemd's
  // "" and "auto": by annotations, image and program; "native", "wasm", "microvm".
  std::string isolation;
  bool experimental = false;  // microvm: allowed though it is not yet ripe
  std::string vmm;            // microvm: the machine's program, "qemu", "libkrun"; "": qemu
  std::string accelerator;    // microvm: "auto", "kvm", "tcg"; "": auto
  bool no_template = false;   // microvm: boot, instead of restoring a machine that has booted
  std::string disk_size;      // microvm: of the writable disk, "20g"; "": 10 GiB
  std::string invoke;         // Wasm: the exported function that is called instead of the start
  std::string fuel;           // Wasm: instructions it may execute, or "off"; "": 1,000,000,000

  RestartPolicy restart;                             // only of a detached one
  int stop_signal = 0;                               // 0: the image's, else SIGTERM
  std::chrono::seconds stop_timeout{10};             // from the stop signal to SIGKILL
  std::optional<std::chrono::milliseconds> timeout;  // the whole run; then stopped, exit code 124
  uint64_t log_max_size = 10ULL << 20U;              // bytes of one log file
  int log_max_files = 3;                             // that many at most

  std::string pull = "missing";  // "missing", "always", "never"
  TransferOptions transfer;      // of that pull
  // Receives what is no failure: that a microVM is emulated in software.
  std::function<void(const std::string&)> on_warning;
  std::string detach_keys = "ctrl-p,ctrl-q";  // in the foreground, with a terminal
};

// ---------------------------------------------------------------- what there is

// Where a container is in its life.
enum class ContainerStatus {
  kCreated,     // never started
  kRunning,     // its program runs
  kPaused,      // frozen
  kStopped,     // it has ended, or could not run
  kRestarting,  // it has ended and its restart policy will start it again
  kBroken       // it runs, but its monitor has died: nobody notes its end; remove it by force
};
// "created", "running", and so on: the word of `trivet ps`.
[[nodiscard]] TRIVET_API const char* container_status_name(ContainerStatus status);

// A port of the host that leads into a container.
struct PublishedPort {
  std::string host_ip;          // an address of the host; empty: all
  uint16_t host_port = 0;       // never 0 when the container runs
  uint16_t container_port = 0;  // where it leads
  std::string protocol;         // "tcp", "udp"
};

// A container at the moment of the call: the row of `trivet ps`.
struct ContainerInfo {
  std::string id;                    // 64 hex digits
  std::string name;                  // unique on this host
  std::string image;                 // as it was named; the directory with --rootfs
  std::string image_id;              // empty with --rootfs
  std::vector<std::string> command;  // with the entrypoint
  ContainerStatus status = ContainerStatus::kStopped;  // where it is in its life
  std::string isolation;                               // "native", "microvm", "wasm"
  int pid = 0;                                    // of the init on the host; 0 when it does not run
  int monitor_pid = 0;                            // 0 when there is none
  int exit_code = 0;                              // of the last run
  bool oom_killed = false;                        // in its last run memory ran out
  std::string error;                              // why it could not run, if so
  int restart_count = 0;                          // by its restart policy
  std::chrono::system_clock::time_point created;  // when it was made
  std::optional<std::chrono::system_clock::time_point> started;   // when it was started last
  std::optional<std::chrono::system_clock::time_point> finished;  // when it ended last
  std::vector<PublishedPort> ports;                               // that lead into it
  std::map<std::string, std::string> labels;                      // as it was given them
  std::string pod;                  // the id of the pod it belongs to; empty: none
  std::optional<uint64_t> rw_size;  // bytes of the writable layer; only when asked for
};

// What a running container uses.
struct ContainerStats {
  std::string id;             // 64 hex digits
  std::string name;           // its name
  double cpu_percent = 0;     // of one CPU, since this Engine was asked last, else since the start
  uint64_t cpu_usage_ns = 0;  // of all its processes, since the start
  uint64_t memory_usage = 0;  // bytes without reclaimable page cache
  uint64_t memory_limit = 0;  // bytes; the host's memory when unlimited
  uint64_t pids = 0;          // processes and threads
  uint64_t pids_limit = 0;    // 0: unlimited
  uint64_t block_read = 0;    // bytes, since the start
  uint64_t block_write = 0;   // bytes, since the start
  uint64_t net_rx = 0;        // bytes received, since the start, without the loopback device
  uint64_t net_tx = 0;        // bytes sent, likewise
};

// A line that a container's program has written.
struct LogLine {
  // Where it was written to.
  enum class Stream {
    kStdout,  // also everything on a terminal
    kStderr   // never on a terminal
  };
  std::chrono::system_clock::time_point time;  // when it was read
  Stream stream = Stream::kStdout;             // where it was written to
  std::string text;                            // without the line end
  bool partial = false;                        // no line end followed (yet)
};

// Which lines of a log are wanted.
struct LogOptions {
  bool follow = false;                                         // go on until the container ends
  std::optional<uint64_t> tail;                                // the last N lines
  std::optional<std::chrono::system_clock::time_point> since;  // none before
  std::optional<std::chrono::system_clock::time_point> until;  // none after
  std::stop_token stop;                                        // ends following
};

// A command to execute in a running container.
struct ExecOptions {
  std::vector<std::string> command;  // not empty; a name without a slash is looked up in PATH
  bool terminal = false;             // -t
  bool interactive = false;          // -i: stdin stays connected
  bool detach = false;               // it goes on without the caller, and its output is lost
  std::vector<std::string> env;      // besides the container's: "NAME=VALUE", or "NAME"
  std::string workdir;               // empty: the container's
  std::string user;                  // "USER[:GROUP]"; empty: the container's
  bool privileged = false;           // with all capabilities
  std::string invoke;  // Wasm: the exported function that is called instead of the program's start
  std::string detach_keys = "ctrl-p,ctrl-q";  // with a terminal; empty: none
  // After that it gets SIGTERM, and SIGKILL two seconds later. Not with `detach`. None: no limit.
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
};

// An image of the local store.
struct ImageInfo {
  std::string id;                  // "sha256:…"
  std::string digest;              // of the manifest
  std::vector<std::string> names;  // "docker.io/library/busybox:latest"; empty: dangling
  uint64_t size = 0;               // bytes unpacked
  std::chrono::system_clock::time_point created;  // as the image says
  std::map<std::string, std::string> labels;      // of its configuration
  std::string os;                                 // "linux", "wasi"
  std::string architecture;                       // "amd64", "arm64", "wasm"
};

// One step of how an image was made.
struct ImageHistoryEntry {
  std::string created;       // RFC 3339; may be empty
  std::string created_by;    // the command, as the builder wrote it down
  std::string comment;       // of the builder; mostly empty
  bool empty_layer = false;  // it changed no files
};

// How the caller's own streams are joined to a container's. Whether there is a terminal is the
// container's own setting.
struct AttachOptions {
  bool interactive = false;                   // forward stdin
  std::string detach_keys = "ctrl-p,ctrl-q";  // with a terminal; empty: none
  bool forward_signals = true;                // SIGINT, SIGTERM, … to the container
};

// How a connection to a container has ended.
struct AttachResult {
  bool detached = false;   // by the detach keys: the container goes on
  bool timed_out = false;  // an exec that was ended by its timeout
  int exit_code = 0;       // otherwise: the program's own, 128+N after signal N
};

// What became of one of several things that were to be removed.
struct RemoveResult {
  std::string name;            // as it was given
  bool removed = false;        // it is gone
  std::optional<Error> error;  // why it is not
};

// What was cleaned up.
struct PruneResult {
  std::vector<std::string> removed;  // ids or names
  uint64_t bytes = 0;                // that were freed
};

// A volume: a directory that outlives the containers that have it mounted.
struct VolumeInfo {
  std::string name;                               // an anonymous one has 64 hex digits
  std::string path;                               // of its files on the host
  std::chrono::system_clock::time_point created;  // when it was made
  std::vector<std::string> used_by;               // container names
};

// Where the kernel of microVMs comes from; by default Debian's for virtual machines, unless there
// is a kernel already.
struct VmSetupOptions {
  std::string kernel;        // a package, or the path of a vmlinux, a bzImage or a package's file
  std::string modules;       // with a kernel's file: the directory of its modules
  std::string from;          // a directory that another setup made
  bool from_source = false;  // compile a small kernel; takes minutes and needs a compiler
  std::function<void(const std::string&)> progress;  // receives what is being done
};

// A kernel that microVMs can have.
struct VmKernelInfo {
  std::string id;                    // the first digits of its digest
  std::string release;               // `uname -r`
  std::string source;                // "linux-image-…_VERSION", a path
  std::string digest;                // "sha256:…"
  std::string directory;             // where it is
  bool acpi = true;                  // it finds its devices through ACPI
  bool current = false;              // microVMs get this one
  uint64_t size = 0;                 // bytes, with its modules
  std::vector<std::string> modules;  // that come into the guest, in the order of loading
};

// What Engine::setup_vm() has prepared.
struct VmSetup {
  VmKernelInfo kernel;     // the current one now
  bool was_there = false;  // before, so that nothing was fetched
  std::string initramfs;   // its path; empty when trivet-vminit is not installed
};

}  // namespace trivet
