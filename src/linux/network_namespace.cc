#include "linux/network_namespace.h"

#include <cstdlib>
#include <fcntl.h>
#include <sched.h>

#include "base/fs.h"

namespace trivet {

Result<UniqueFd> make_network_namespace() {
  const UniqueFd home = TRY(open_file("/proc/thread-self/ns/net", O_RDONLY));
  if (unshare(CLONE_NEWNET) != 0) return fail_errno("make a network namespace");
  auto made = open_file("/proc/thread-self/ns/net", O_RDONLY);
  // To go on in a network that is not ours would be worse than to end.
  if (setns(home.get(), CLONE_NEWNET) != 0) std::abort();
  return made;
}

}  // namespace trivet
