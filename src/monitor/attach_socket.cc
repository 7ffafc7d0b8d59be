// The sockets of attach.h.
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/socket_pair.h"
#include "monitor/attach.h"

namespace trivet::monitor {

namespace {

constexpr const char* kSocketName = "attach.sock";

// "/proc/self/fd/N/attach.sock": short, whatever the directory's own path is.
sockaddr_un make_address(int directory_fd) {
  sockaddr_un address{.sun_family = AF_UNIX};
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory_fd, kSocketName);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> make_socket(int flags) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!fd) return fail_errno("socket");
  return fd;
}

}  // namespace

Result<UniqueFd> listen_for_clients(const std::string& runtime_directory) {
  const UniqueFd directory = TRY(open_file(runtime_directory, O_PATH | O_DIRECTORY));
  UniqueFd fd = TRY(make_socket(SOCK_NONBLOCK));
  const sockaddr_un address = make_address(directory.get());
  // A dead monitor's; ours is the only living one.
  if (unlinkat(directory.get(), kSocketName, 0) != 0 && errno != ENOENT) {
    return fail_errno("unlink \"{}/{}\"", runtime_directory, kSocketName);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("bind \"{}/{}\"", runtime_directory, kSocketName);
  }
  constexpr int kBacklog = 64;
  if (::listen(fd.get(), kBacklog) != 0) return fail_errno("listen");
  return fd;
}

Result<UniqueFd> connect_to_monitor(const Directories& directories, const std::string& id) {
  const auto no_monitor = [] {
    return fail(ErrorCode::kNotFound, "the container has no running monitor");
  };
  const auto directory = open_file(directories.runtime(id), O_PATH | O_DIRECTORY);
  if (!directory && directory.error().errnum() == ENOENT) return no_monitor();
  if (!directory) return std::unexpected(directory.error());
  UniqueFd fd = TRY(make_socket(0));
  const sockaddr_un address = make_address(directory->get());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return fd;
  }
  if (errno == ENOENT || errno == ECONNREFUSED) return no_monitor();
  return fail_errno("connect to the monitor of container {}", id);
}

Result<AttachPair> make_attach_pair() {
  SocketPair pair = TRY(make_socket_pair(SocketKind::kMessages));
  return AttachPair{.client = std::move(pair.ours), .monitor = std::move(pair.theirs)};
}

Result<> send_frame(int fd, std::string_view frame) {
  ssize_t sent = 0;
  do {
    sent = ::send(fd, frame.data(), frame.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail_errno("send to the monitor");
  return {};
}

Result<std::optional<Message>> receive_frame(int fd, char* buffer, size_t size) {
  ssize_t count = 0;
  // ECONNRESET, once: the other side closed its end before it had read all of ours. What it had
  // sent until then (its last word, mostly) is behind that, and after it the end.
  do {
    count = ::recv(fd, buffer, size, 0);
  } while (count < 0 && (errno == EINTR || errno == ECONNRESET));
  if (count < 0) return fail_errno("receive from the monitor");
  if (count == 0) return std::nullopt;
  return TRY(parse_frame({buffer, static_cast<size_t>(count)}));
}

}  // namespace trivet::monitor
