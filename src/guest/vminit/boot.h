// From the kernel's hands to a machine that can hold a container.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "linux/cgroup.h"

namespace trivet::guest {

// Descriptors 0, 1 and 2 are the console, or /dev/null where there is none. First of all.
Result<> mount_early_file_systems();

// The modules of /modules/list, in that order. One the kernel has built in is no failure; one that
// can't be loaded is told on the console, and missed by whoever needs it.
void load_modules();

// The program trivet-infra of the initramfs, to be executed by its descriptor; invalid when it came
// without. To be called before switch_root().
UniqueFd open_infra();

// The virtio-serial port of a name, opened without blocking.
Result<UniqueFd> open_port(const char* name);

// Out of the initramfs, which pivot_root(2) can't leave, into a tmpfs with everything a container's
// engine expects of a host.
Result<> switch_root();
Result<> mount_file_systems();

// Gives the controllers of cgroup v2 to the groups below the root. What it returns is what
// cgroup::Layout::detect() would find, which reads a good deal of /proc for it.
Result<cgroup::Layout> enable_controllers();

Result<> overcommit_memory();
Result<> raise_loopback();

}  // namespace trivet::guest
