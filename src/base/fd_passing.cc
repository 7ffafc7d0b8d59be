#include "base/fd_passing.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace trivet {

namespace {

// A message header with room for one descriptor.
class Message {
 public:
  Message(void* bytes, size_t size) : part_{.iov_base = bytes, .iov_len = size} {
    header_.msg_iov = &part_;
    header_.msg_iovlen = 1;
    header_.msg_control = control_.data();
    header_.msg_controllen = control_.size();
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  Message(Message&&) = delete;
  Message& operator=(Message&&) = delete;
  ~Message() = default;

  [[nodiscard]] msghdr* header() { return &header_; }
  [[nodiscard]] cmsghdr* rights() { return CMSG_FIRSTHDR(&header_); }

 private:
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control_{};
  iovec part_;
  msghdr header_{};
};

}  // namespace

int send_with_fd(int socket, const void* bytes, size_t size, int fd) {
  Message message(const_cast<void*>(bytes), size);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  cmsghdr* rights = message.rights();
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  const ssize_t sent = sendmsg(socket, message.header(), MSG_NOSIGNAL);
  if (sent < 0) return errno;
  return static_cast<size_t>(sent) == size ? 0 : EMSGSIZE;
}

Result<size_t> receive_with_fd(int socket, void* bytes, size_t size, UniqueFd* fd) {
  Message message(bytes, size);
  ssize_t count = 0;
  do {
    count = recvmsg(socket, message.header(), MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return fail_errno("receive a message");
  const cmsghdr* rights = message.rights();
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(rights), sizeof number);
    UniqueFd received(number);
    if (fd != nullptr) *fd = std::move(received);
  }
  return static_cast<size_t>(count);
}

}  // namespace trivet
