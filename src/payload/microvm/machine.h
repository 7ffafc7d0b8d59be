// From a configuration to a microVM: the shell around the monitor, and the monitor's job.
#pragma once

#include "payload/microvm/accelerator.h"
#include "payload/prepare.h"

namespace trivet::payload::microvm {

inline constexpr const char* kDiskAnnotation = "dev.trivet.vm.disk";          // "20g"
inline constexpr const char* kTemplateAnnotation = "dev.trivet.vm.template";  // on, off

// The writable disk, in the container's directory.
inline constexpr const char* kDiskName = "scratch.ext4";

// What would keep prepare_machine() from working, without making anything: sizes, what a VM can't
// have, the machine's program, the accelerator, the kernel. Of a container of trivet's own: what
// its annotations allow holds.
struct MachineCheck {
  std::vector<std::string> warnings;
};
Result<MachineCheck> check_machine(const oci::Spec& spec, const std::string& data_directory);

// Plans the sizes, finds or makes what the machine consists of (kernel, disks, template) and the
// job of trivet-vmm. Errors: those of the parts, each naming what it is about.
Result<Prepared> prepare_machine(const Request& request);

// The shell of a container that goes into the machine of its pod (VmRequest::seat). kWrongState
// when the machine does not run.
Result<Prepared> prepare_member(const Request& request);

// A process of the container's, started through the shell.
Result<PreparedExec> prepare_machine_exec(const oci::Process& process, const GuestExec& guest);

// A process in the shell whose stdin and stdout are a connection in the guest's network.
Result<PreparedExec> prepare_machine_connect(const guest::ConnectRequest& request);

}  // namespace trivet::payload::microvm
