// The programs that the supervisor starts: the machine's and virtiofsd.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::vmm {

struct ChildPlan {
  std::vector<std::string> argv;  // argv[0] is a path
  std::vector<InheritedFd> inherited;
  std::vector<std::string> env;
  int stderr_fd = -1;
  // This user, in no group but the one of the same number, without capabilities and for ever so;
  // nothing: as we are.
  std::optional<uint32_t> uid;
};

struct Child {
  pid_t pid = 0;
  UniqueFd pidfd;
};

// In a session of its own, with /dev/null as stdin and stdout, no descriptors
// but those, all signals as a program expects them; it dies when we do.
Result<Child> start_child(const ChildPlan& plan);

}  // namespace trivet::vmm
