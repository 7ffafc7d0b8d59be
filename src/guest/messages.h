// The documents of the agent protocol: JSON payloads as types. Parsing is strict about types and
// limits and ignores unknown keys (a newer peer); printing and parsing are inverse.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::guest {

// Where things are in the guest.
inline constexpr const char* kShareDirectory = "/run/trivet/share";      // the virtiofs device
inline constexpr const char* kFilesDirectory = "/run/trivet/files";      // CreateRequest::files
inline constexpr const char* kLowerDirectory = "/run/trivet/lower";      // the image's block device
inline constexpr const char* kScratchDirectory = "/run/trivet/scratch";  // upper/ and work/
inline constexpr const char* kVolumesDirectory = "/run/trivet/volumes";  // CreateRequest::volumes
inline constexpr const char* kInfraRoot = "/run/trivet/infra";           // CreateRequest::infra

struct Ready {
  uint32_t version = 0;
  std::string kernel;  // uname -r
};

struct Wake {
  int64_t unix_ns = 0;     // CLOCK_REALTIME of the host
  std::string entropy;     // hex, 64 bytes
  std::string machine_id;  // 32 hex digits
};

struct InlineFile {
  std::string name;  // a file in kFilesDirectory
  uint32_t mode = 0644;
  std::string content;  // base64 in JSON
};

// What linux.seccomp of the guest's configuration is compiled to, which is the host's work.
struct SeccompFilter {
  std::string instructions;  // of struct sock_filter; base64 in JSON
  uint32_t flags = 0;        // SECCOMP_FILTER_FLAG_*
};

// The guest's network, as the host has decided it. Without interfaces there is the loopback device.
struct Route {
  std::string destination;  // "0.0.0.0/0"
  std::string gateway;      // empty: on the link
};
struct Interface {
  std::string mac;  // how the guest's device shall be called: "52:54:00:…"
  std::string name = "eth0";
  uint32_t mtu = 0;                    // 0: as it is
  std::vector<std::string> addresses;  // "10.0.2.15/24"
  std::vector<Route> routes;
  // The other end has accepted whoever connects, but may not say so: see vminit/handshakes.h.
  bool completes_handshakes = false;
};

// A directory of the guest's own that the containers of a pod share: kVolumesDirectory/NAME. On the
// scratch device, or in memory.
struct Volume {
  std::string name;
  uint32_t mode = 0777;
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool in_memory = false;
  uint64_t size = 0;                     // in memory, in bytes; 0: the kernel's default
  std::vector<std::string> directories;  // below it, parents first, with its owner and mode
};

struct CreateRequest {
  // The guest's own config.json: what can be had in the guest, with sources of bind mounts below
  // kShareDirectory and kFilesDirectory. Its root.path is below kShareDirectory, or unused with
  // `lower_device`.
  std::string config;
  std::optional<SeccompFilter> seccomp;  // instead of its linux.seccomp
  std::string lower_device;     // "vda": EROFS (or ext4), mounted read-only at kLowerDirectory
  std::string scratch_device;   // "vdb": ext4 at kScratchDirectory, upper and work of the overlay
  std::string lower_share;      // instead of lower_device: a directory below kShareDirectory
  bool share = false;           // mount the virtiofs device at kShareDirectory
  bool blocks_signals = false;  // the program begins with all signals blocked: it is an init
  std::vector<InlineFile> files;

  // The machine's own container only.
  std::string hostname;  // of the guest itself
  std::vector<Interface> interfaces;
  std::vector<Volume> volumes;
  // The program is trivet-infra, which came with the guest, in a root that is empty but for what
  // is mounted (kInfraRoot). The session's input and output are its channel.
  bool infra = false;

  // Further containers only: the namespaces of the machine's own that it joins, by their names in
  // runtime-spec. What the configuration has a path for is joined there.
  std::vector<std::string> joins;
};

struct ExecRequest {
  std::string process;  // a process object of runtime-spec
  // "name[:group]" or numbers, looked up in the container; replaces process.user and gives HOME, if
  // process.env has none. Empty: process.user is right.
  std::string user;
  bool detach = false;  // its streams are nobody's: /dev/null
  // When it has been told to end (SIGTERM), what it has started ends with it.
  bool ends_group = false;
};

// The streams of copies are those of copy/stream.h. What is copied in belongs to root.
struct CopyRequest {
  std::string path;  // in the container, as typed; it may end in "/" or "/."
  // Copy in: what the host was given as source, as typed, which decides on the name. Empty: a tar
  // stream to be unpacked below the directory `path`, with the owners it has.
  std::string source;
};

// A TCP connection from inside the guest's network, to a numeric address.
struct ConnectRequest {
  std::string host;
  uint16_t port = 0;
};

// kRequest: the operation's name, and what comes in and goes out.
//
//   "ping"       {}                      → {}
//   "stats"      {}                      → Stats
//   "processes"  {}                      → {"processes": [{"pid", "ppid", "uid", "state",
//   "time_ms", "command"}]} "freeze", "thaw"                     → {}     the container's cgroup in
//   the guest "update"     {"resources": "{…}"}    → {}     linux.resources of runtime-spec, as a
//   text "set-time"   {"unix_ns"}             → {} "shutdown"   {}                      → {} and
//   then the guest powers off
struct Request {
  std::string operation;
  std::string resources;  // JSON text; "update"
  int64_t unix_ns = 0;    // "set-time"
};

struct Stats {
  uint64_t cpu_usage_ns = 0;
  uint64_t cpu_user_ns = 0;
  uint64_t cpu_system_ns = 0;
  uint64_t memory_usage = 0;  // of the container's cgroup, bytes without reclaimable page cache
  uint64_t memory_limit = 0;  // 0: none but the guest's memory
  uint64_t memory_total = 0;  // of the guest, MemTotal
  uint64_t memory_free = 0;   // MemAvailable
  uint64_t pids = 0;
  uint64_t pids_limit = 0;
  uint64_t block_read = 0;
  uint64_t block_write = 0;
  uint64_t net_rx = 0;
  uint64_t net_tx = 0;
  uint64_t oom_kills = 0;
};

[[nodiscard]] std::string print(const Ready& message);
[[nodiscard]] std::string print(const Wake& message);
[[nodiscard]] std::string print(const CreateRequest& message);
[[nodiscard]] std::string print(const ExecRequest& message);
[[nodiscard]] std::string print(const CopyRequest& message);
[[nodiscard]] std::string print(const ConnectRequest& message);
[[nodiscard]] std::string print(const Request& message);
[[nodiscard]] std::string print(const Stats& message);

Result<Ready> parse_ready(std::string_view text);
Result<Wake> parse_wake(std::string_view text);
Result<CreateRequest> parse_create(std::string_view text);
Result<ExecRequest> parse_exec(std::string_view text);
Result<CopyRequest> parse_copy(std::string_view text);
Result<ConnectRequest> parse_connect(std::string_view text);
Result<Request> parse_request(std::string_view text);
Result<Stats> parse_stats(std::string_view text);

}  // namespace trivet::guest
