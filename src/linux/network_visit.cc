#include "linux/network_visit.h"

#include <cstdlib>
#include <fcntl.h>
#include <sched.h>

#include "base/fs.h"

namespace trivet {

Result<NetworkVisit> NetworkVisit::begin(int network_namespace) {
  if (network_namespace < 0) return NetworkVisit(UniqueFd());
  UniqueFd home = TRY(open_file("/proc/thread-self/ns/net", O_RDONLY));
  if (setns(network_namespace, CLONE_NEWNET) != 0) return fail_errno("setns to the pod's network");
  return NetworkVisit(std::move(home));
}

NetworkVisit::~NetworkVisit() {
  if (home_ && setns(home_.get(), CLONE_NEWNET) != 0) std::abort();
}

}  // namespace trivet
