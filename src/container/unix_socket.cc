#include "container/unix_socket.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd_passing.h"
#include "base/fs.h"

namespace trivet::container {

namespace {

// Through the directory's descriptor: an address has room for 107 bytes only.
Result<UniqueFd> connect_to(std::string_view what, const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const UniqueFd dir = TRY_IN(open_file(directory, O_PATH | O_DIRECTORY), "{}", what);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string short_path = fmt::format("/proc/self/fd/{}/{}", dir.get(), name);
  if (short_path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kInvalidArgument, "{} \"{}\": the name is too long", what, path);
  }
  std::memcpy(address.sun_path, short_path.c_str(), short_path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("connect to the {} \"{}\"", what, path);
  }
  return fd;
}

}  // namespace

Result<> send_descriptor(std::string_view what, const std::string& path, std::string_view text,
                         int fd) {
  const UniqueFd connection = TRY(connect_to(what, path));
  if (const int error = send_with_fd(connection.get(), text.data(), text.size(), fd); error != 0) {
    return std::unexpected(
        Error::from_errno(error, fmt::format("send a descriptor to the {} \"{}\"", what, path)));
  }
  return {};
}

Result<> send_console(const std::string& socket_path, int master_fd) {
  return send_descriptor("console socket", socket_path, "/dev/ptmx", master_fd);
}

Result<> send_pidfd(const std::string& socket_path, int pidfd) {
  if (socket_path.empty()) return {};
  return send_descriptor("pidfd socket", socket_path, "pidfd", pidfd);
}

Result<> send_listener(const oci::Seccomp& seccomp, const oci::State& state, pid_t process,
                       int listener) {
  if (listener < 0) return fail(ErrorCode::kCorrupt, "the container's init sent no listener");
  const std::string text =
      oci::print_container_process_state(state, process, seccomp.listener_metadata);
  return send_descriptor("seccomp listener", seccomp.listener_path, text, listener);
}

}  // namespace trivet::container
