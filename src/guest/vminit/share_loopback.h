// "localhost" of a guest that is one of several containers of a pod. The others are on the host, in
// the pod's network namespace, so what connects to a loopback address of the guest, or to the pod's
// own, goes there where nobody in the guest listens.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/pod_loopback.h"

namespace trivet::guest {

// For all processes of a cgroup, from now on, as long as it is there. By programs of the kernel's
// BPF at connect(2), sendto(2), recvfrom(2), accept(2) and getpeername(2), so that nothing is
// relayed and no port has to be known. TCP and UDP; to ::1, too, but for UDP without connect(2).
// kUnsupported: the guest's kernel has no CONFIG_CGROUP_BPF.
Result<> share_pod_loopback(const PodLoopback& loopback, const UniqueFd& cgroup);

}  // namespace trivet::guest
