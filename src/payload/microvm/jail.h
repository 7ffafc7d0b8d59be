// The shell of a microVM: the same namespaces, cgroup and hooks as any container's, with a root
// that holds what a virtual machine monitor needs and nothing of the container but what is shared
// with the guest.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"
#include "payload/microvm/sizes.h"

namespace trivet::payload::microvm {

struct JailInputs {
  std::string directory;  // an empty root: make_jail_root()
  std::string kernel;     // files of the host
  std::string initramfs;
  std::vector<oci::Mount> shares;  // see guest_spec.h
  Sizes sizes;
  bool kvm = false;
  bool tap = false;
};

// The shell's configuration. Pure.
[[nodiscard]] oci::Spec plan_jail(const oci::Spec& spec, const JailInputs& inputs);

// The same for a member of a pod: its shell holds one process without rights, which needs next to
// nothing, and no network. Pure.
[[nodiscard]] oci::Spec plan_member_jail(const oci::Spec& spec, const std::string& directory);

// The same for a process that enters the shell to reach the guest.
[[nodiscard]] oci::Process plan_jail_process(const oci::Process& process);

// The bytes of memory of the machine in a jail that plan_jail() has made.
[[nodiscard]] uint64_t memory_in_jail(const oci::Spec& shell);

// The root of all jails of this installation: directories and links, made when they are missing.
Result<std::string> make_jail_root(const std::string& vm_directory);

}  // namespace trivet::payload::microvm
