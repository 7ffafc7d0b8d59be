// From a job to QEMU's command line: a pure function, so that a template and what is restored from
// it have the same machine because they come from the same lines. docs/architecture.md says where
// the machine's properties come from.
#pragma once

#include <string>
#include <vector>

#include "base/process.h"
#include "payload/microvm/job.h"

namespace trivet::vmm {

using payload::microvm::Job;

// What backs one virtio-net device.
struct NetBackend {
  enum class Kind { kStream, kTap };
  Kind kind = Kind::kStream;
  int fd = -1;
};

// Descriptors of ours that QEMU gets, besides those of the job.
struct QemuEnds {
  int qmp = -1;
  int agent = -1;
  int console = -1;
  int share = -1;    // a connection to virtiofsd
  int preload = -1;  // preload_library(); used with `saved`
  std::vector<NetBackend> network;
};

struct QemuPlan {
  std::vector<std::string> argv;
  std::vector<InheritedFd> inherited;
  std::vector<std::string> env;
  int state_number = -1;  // of the state to be restored, as QEMU has it
};

// A disk's node in QEMU's block layer, for QMP.
[[nodiscard]] std::string disk_node(size_t index);

[[nodiscard]] bool restores(const Job& job);

[[nodiscard]] QemuPlan plan_qemu(const Job& job, const QemuEnds& ends);

}  // namespace trivet::vmm
