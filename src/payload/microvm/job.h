// What trivet-vmm is told by whoever starts it, and what it says about the run.
//
// trivet-vmm is the init of a microVM's shell: it is executed by descriptor in namespaces and a
// cgroup of its own, with a jail as its root that has nothing of the container's:
//
//   /usr, /lib…     the host's, read-only: QEMU, libraries and firmware, virtiofsd
//   /vm/kernel      the guest's kernel, an uncompressed vmlinux; read-only
//   /vm/initramfs   read-only
//   /share/…        what the guest gets from the host (bind mounts, read-only where they have to
//   be),
//                   served by one virtiofsd; "/share/root" is the root file system of a bundle
//   /dev            null, zero, full, random, urandom, pts; kvm and net/tun where they are needed
//   /proc, /run, /tmp
//
// Everything else comes as open descriptors, so that no path of the host is known in there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/messages.h"

namespace trivet::payload::microvm {

// The environment variable with the number of a descriptor (a sealed memfd) that holds a job, of
// whichever kind. QEMU does not see it.
inline constexpr const char* kJobVariable = "TRIVET_VMM_JOB";
// Where the supervisor of a VM listens, in its jail: SOCK_STREAM, frames of guest/protocol.h with
// sessions of the client's own numbering (kFirstRequestSession and up). The directory is root's
// alone.
inline constexpr const char* kControlSocket = "/run/vmm/control.sock";

// For a machine to boot, and then for its container to be made, and started. Emulated on a busy
// host a guest that does nothing wrong may need more than a minute.
inline constexpr uint32_t kBootTimeoutMs = 60'000;
inline constexpr uint32_t kEmulatedBootTimeoutMs = 180'000;

// Exit codes of a container that did not end by itself; its own are its program's.
inline constexpr int kExitGuestLost = 134;  // the guest panicked, its agent is gone, the VMM died
inline constexpr int kExitGuestHung = 137;  // it did not end after a stop, and was killed

struct Disk {
  int fd = -1;
  bool read_only = false;
};

struct Network {
  enum class Kind {
    kNone,   // no device
    kPasst,  // `fd` is one end of a socket pair, passt has the other
    kTap,    // take over the one interface of the network namespace: a tap device, joined to it by
           // traffic control; its addresses, routes and MAC go to the guest. Without an interface:
           // kNone
  };
  Kind kind = Kind::kNone;
  int fd = -1;
};

struct SavedMachine {
  int memory = -1;  // a file of the guest's memory size
  int state = -1;   // QEMU's migration stream without the memory
  // It is saved with its container made; a machine that is restored adopts it.
  bool has_container = false;
};

// A machine by libkrun.
struct KrunMachine {
  int program = -1;  // trivet-krun
  int library = -1;  // libkrun.so.1
};

struct Job {
  enum class Mode {
    kRun,
    kMakeTemplate,  // boot to the agent, or to its container's being made, save into `saved`, end
  };
  Mode mode = Mode::kRun;

  // The machine. The same in a template and in what is restored from it.
  std::string qemu = "/usr/bin/qemu-system-x86_64";
  std::string virtiofsd = "/usr/lib/qemu/virtiofsd";
  std::optional<KrunMachine> krun;  // instead of QEMU
  bool kvm = false;
  uint64_t tsc_khz = 0;  // of the host: mandatory under software emulation
  uint32_t vcpus = 1;
  uint64_t memory_mib = 512;
  bool acpi = true;         // false: the kernel finds virtio-mmio devices by its command line
  std::vector<Disk> disks;  // vda, vdb, …
  bool share = false;       // a virtiofs device; such a machine has no template
  Network network;
  uint32_t qemu_uid = 65534;  // the machine runs as this user, in no group but this one

  std::optional<SavedMachine> saved;  // kRun: restore from here, kMakeTemplate: write here

  // kRun
  guest::CreateRequest create;
  std::string machine_id;  // as new_machine_id() makes one
  int sync = -1;           // the engine's conversation: container/stage/plan.h, Message
  int listener = -1;       // the engine's start.sock; -1: only `sync` can start it
  int report = -1;         // see below; -1: nobody wants one
  int console = -1;        // the guest kernel's console goes here; -1: /dev/null
  bool terminal = false;   // its own stdio is a pty's slave, and the guest's program has one too
  uint32_t boot_timeout_ms = kBootTimeoutMs;
  uint32_t shutdown_timeout_ms = 5000;  // after the program's end
};

// For `exec`: executed in the shell of a running VM, relays its own stdio, signals and window size.
struct ExecJob {
  guest::ExecRequest request;
  // Instead of a program: its stdin and stdout are those of a connection in the guest's network. It
  // ends when either side does.
  std::optional<guest::ConnectRequest> connect = std::nullopt;
  int sync = -1;  // the engine's conversation: closed when the program runs, or kPayloadFailed
  bool terminal = false;
};

// A member of a pod: the init of a shell of its own that stands for a further container in the
// guest of the pod's machine. Its clients (`exec`, `stats`, `cp`) find it at kControlSocket in its
// own jail, as those of a machine do.
struct MemberJob {
  uint8_t container = 0;  // its number: guest/protocol.h
  guest::CreateRequest create;
  int machine = -1;   // connected to the kControlSocket of the pod's machine
  int sync = -1;      // as in Job
  int listener = -1;  // as in Job
  int report = -1;    // as in Job
  bool terminal = false;
  uint32_t timeout_ms = kBootTimeoutMs;  // to be made, and to be started
};

// A random one: 32 hex digits, machine-id(5).
[[nodiscard]] std::string new_machine_id();

[[nodiscard]] std::string print_job(const Job& job);
[[nodiscard]] std::string print_job(const ExecJob& job);
[[nodiscard]] std::string print_job(const MemberJob& job);
// Which of them a text is: {"exec": …}, {"run": …} or {"member": …}.
struct AnyJob {
  std::optional<Job> run;
  std::optional<ExecJob> exec;
  std::optional<MemberJob> member;
};
Result<AnyJob> parse_job(std::string_view text);

// A page of memory that trivet-vmm writes and whoever started it reads, also after its end.
struct ReportPage {
  uint32_t magic;
  uint32_t from_template;
  uint32_t oom_killed;  // the container's program, by the guest's kernel
  uint32_t lost;        // the guest or the VMM ended by itself
  uint64_t boot_us;     // from the VMM's start to the agent's answer
  uint64_t create_us;   // from there to the container's being made
  uint32_t message_size;
  char kernel[64];     // uname -r in the guest, NUL-terminated
  char message[1024];  // why it was ended; one line
};
inline constexpr uint32_t kReportMagic = 0x74765250;

struct Report {
  bool from_template = false;
  bool oom_killed = false;
  bool lost = false;
  uint64_t boot_us = 0;
  uint64_t create_us = 0;
  std::string kernel;
  std::string message;
};
// A descriptor of memory of exactly one page, which can't change its size.
Result<UniqueFd> make_report();
// kCorrupt: not what trivet-vmm writes.
Result<Report> read_report(int fd);

}  // namespace trivet::payload::microvm
