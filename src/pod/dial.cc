#include "pod/dial.h"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/printable.h"
#include "linux/network_visit.h"

namespace trivet::pod {

namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> make_address(const std::string& host, uint16_t port) {
  Address address;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const char* text = host.empty() || host == "localhost" ? "127.0.0.1" : host.c_str();
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
  } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
  } else {
    return fail(ErrorCode::kInvalidArgument, "host \"{}\" is no IP address", printable(host));
  }
  return address;
}

Result<UniqueFd> make_socket_in(int network_namespace, int family) {
  const NetworkVisit visit = TRY(NetworkVisit::begin(network_namespace));
  UniqueFd made(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!made) return fail_errno("socket");
  return made;
}

}  // namespace

Result<UniqueFd> begin_connection(int network_namespace, const std::string& host, uint16_t port) {
  const Address address = TRY(make_address(host, port));
  UniqueFd made = TRY(make_socket_in(network_namespace, address.storage.ss_family));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
  if (connect(made.get(), generic, address.size) != 0 && errno != EINPROGRESS) {
    return fail_errno("connect to port {}", port);
  }
  return made;
}

Result<> finish_connection(int socket) {
  int errnum = 0;
  socklen_t size = sizeof errnum;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &errnum, &size) != 0) {
    return fail_errno("getsockopt SO_ERROR");
  }
  if (errnum != 0) return std::unexpected(Error::from_errno(errnum, "connect"));
  return {};
}

}  // namespace trivet::pod
