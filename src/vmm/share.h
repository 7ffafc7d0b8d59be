// The directory that the guest gets from the host, served by virtiofsd.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "payload/microvm/job.h"
#include "vmm/child.h"

namespace trivet::vmm {

struct Share {
  UniqueFd connection;  // QEMU's
  Child server;
};

Result<Share> start_share(const payload::microvm::Job& job, int stderr_fd);

}  // namespace trivet::vmm
