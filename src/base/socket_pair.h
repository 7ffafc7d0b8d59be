#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// Two connected sockets, both close-on-exec: one for us, one for a process that gets it.
struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
enum class SocketKind { kStream, kMessages };  // unix(7): SOCK_STREAM, SOCK_SEQPACKET
Result<SocketPair> make_socket_pair(SocketKind kind = SocketKind::kStream);

}  // namespace trivet
