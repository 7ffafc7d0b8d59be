// From a configuration to what the engine runs: which isolation it is, and what that changes in
// the shell.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "container/container.h"
#include "guest/messages.h"
#include "oci/spec.h"
#include "payload/choose.h"
#include "payload/microvm/pod.h"
#include "payload/microvm/sizes.h"

namespace trivet::payload {

// What only microVMs take.
enum class VmNetwork {
  kNone,
  kSocket,     // a stream of frames, behind which is passt(1)
  kNamespace,  // whatever interface the shell's network namespace has
};
struct MachineSeat;

struct VmRequest {
  bool experimental = false;    // without it a microVM is refused: see is_experimental()
  int report = -1;              // see microvm/job.h; stays the caller's
  bool no_template = false;     // boot, whatever the annotations say
  microvm::SizeLimits limits;   // of the machine
  bool blocks_signals = false;  // CreateOptions::SignalsAtStart, of the program in the guest
  VmNetwork network = VmNetwork::kNamespace;
  int network_socket = -1;  // kSocket; stays the caller's
  std::vector<guest::Interface> interfaces;
  // The machine is a pod's, and the request that of its infra container: see microvm/pod.h.
  const microvm::PodSource* pod = nullptr;
  // The container is a member of a pod: it goes into a machine that runs. Nothing else is looked at
  // but `report`.
  const MachineSeat* seat = nullptr;
};

struct Request {
  const oci::Spec& spec;
  std::string bundle;          // spec.root.path is relative to it
  std::string data_directory;  // where images, kernels and templates are: "/var/lib/trivet"
  const std::optional<container::OverlayRoot>* overlay = nullptr;
  Choice choice;
  std::string wasm_cache;   // directory for compiled modules that belong to no image layer
  int wasm_report = -1;     // see wasm/report.h; stays the caller's
  std::string wasm_places;  // see wasm/read_only_root.h; empty: an overlay is always writable
  VmRequest vm;
  std::string seccomp_cache;  // of the profiles that guests get compiled; empty: no cache
  // Whether only whoever creates the container will start it: CreateOptions::StartBy::kCreator.
  bool creator_starts = false;
  std::function<void(const std::string&)> on_warning;
};

// A microVM, for people who look at it.
struct MachineFacts {
  std::string vmm;  // "qemu", "libkrun"
  std::string kernel;
  std::string accelerator;  // "kvm", "tcg"
  uint32_t vcpus = 0;
  uint64_t memory_mib = 0;
  bool from_template = false;
  std::string no_template;  // why it could not come from one, where it should have
};

// The place of a container in the machine of its pod.
struct MachineSeat {
  const microvm::Member& member;
  ProcessId machine;  // the init of its shell
  MachineFacts facts;
};

// What a container that is not native consists of. It has to outlive Container::create().
struct Prepared {
  Isolation isolation = Isolation::kNative;
  oci::Spec spec;
  container::Program program;
  bool code_was_cached = false;  // Wasm
  bool own_root = false;         // spec.root is the shell's own: the request's overlay is not used
  std::optional<container::OverlayRoot> overlay;  // instead of the one of the request
  std::optional<MachineFacts> machine;
  std::vector<microvm::Member> members;  // of a pod's machine, in the order of its source
};

// Whether this host has asked for what is not yet ripe: TRIVET_EXPERIMENTAL=1, "experimental: true"
// in /etc/trivet/config.yml or the user's, or the annotation dev.trivet.experimental.
Result<bool> is_experimental(const std::map<std::string, std::string>& annotations);
// kUnsupported, with a hint, when it has not.
Result<> require_experimental(const std::map<std::string, std::string>& annotations);

// Nothing for a native container. Errors: kUnsupported for an isolation that this build or host
// does not have; kCommandNotFound, kCommandNotExecutable when the program is no Wasm module though
// it has to be one; otherwise those of the payload.
Result<std::optional<Prepared>> prepare(const Request& request);

// For a process that joins a container whose state says that it is a Wasm one: another module, or
// the exported function `invoke` of one, on the same file systems. In a microVM any program.
struct PreparedExec {
  oci::Process process;
  container::Program program;
};
// What is said to the guest of a microVM alone.
struct GuestExec {
  std::string user = {};    // by a name that only the guest knows; empty: process.user
  bool ends_group = false;  // guest::ExecRequest
};
Result<std::optional<PreparedExec>> prepare_exec(const container::Container& container,
                                                 const oci::Process& process,
                                                 const std::string& wasm_cache,
                                                 const std::string& invoke,
                                                 const GuestExec& guest = {});

}  // namespace trivet::payload
