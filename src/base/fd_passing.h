// A message with a descriptor over a unix(7) socket.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// Sends all of the bytes and a duplicate of `fd`. 0, or an errno: only system calls happen, so it
// serves between fork(2) and exec(2) too.
int send_with_fd(int socket, const void* bytes, size_t size, int fd);

// The next bytes, at most `size`; 0 at the end. A descriptor that came along goes to `fd`, if that
// is not null.
Result<size_t> receive_with_fd(int socket, void* bytes, size_t size, UniqueFd* fd);

}  // namespace trivet
