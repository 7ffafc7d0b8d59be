#include "base/socket_pair.h"

#include <array>
#include <sys/socket.h>

namespace trivet {

Result<SocketPair> make_socket_pair(SocketKind kind) {
  const int type = kind == SocketKind::kStream ? SOCK_STREAM : SOCK_SEQPACKET;
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail_errno("socketpair");
  }
  return SocketPair{.ours = UniqueFd(fds[0]), .theirs = UniqueFd(fds[1])};
}

}  // namespace trivet
