#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// Two connected stream sockets, both close-on-exec: one for us, one for a process that gets it.
struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
Result<SocketPair> make_socket_pair();

}  // namespace trivet
