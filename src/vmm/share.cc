#include "vmm/share.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace trivet::vmm {

namespace {

constexpr const char* kSocket = "/run/vmm/share.sock";
constexpr int kListenerNumber = 3;

struct SocketEnds {
  UniqueFd listener;
  UniqueFd connection;
};

// virtiofsd wants to accept its one connection itself. It is there before virtiofsd is, and nobody
// can make another one: the name is gone.
Result<SocketEnds> make_connection() {
  if (mkdir("/run/vmm", 0700) != 0 && errno != EEXIST) return fail_errno("mkdir \"/run/vmm\"");
  SocketEnds ends{.listener = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                  .connection = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  if (!ends.listener || !ends.connection) return fail_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, kSocket, sizeof address.sun_path - 1);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  if (bind(ends.listener.get(), name, sizeof address) != 0 || listen(ends.listener.get(), 1) != 0 ||
      connect(ends.connection.get(), name, sizeof address) != 0) {
    return fail_errno("make the socket of virtiofsd");
  }
  if (unlink(kSocket) != 0) return fail_errno("unlink \"{}\"", kSocket);
  return ends;
}

}  // namespace

Result<Share> start_share(const payload::microvm::Job& job, int stderr_fd) {
  SocketEnds ends = TRY(make_connection());
  const ChildPlan plan{
      .argv = {job.virtiofsd, fmt::format("--fd={}", kListenerNumber), "-f", "-o", "source=/share",
               "-o", "cache=auto", "-o", "xattr", "-o", "sandbox=chroot"},
      .inherited = {{.fd = ends.listener.get(), .number = kListenerNumber}},
      .env = {},
      .stderr_fd = stderr_fd,
      .uid = std::nullopt};
  Child server = TRY(start_child(plan));
  return Share{.connection = std::move(ends.connection), .server = std::move(server)};
}

}  // namespace trivet::vmm
