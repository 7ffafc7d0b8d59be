// Handing a descriptor to whoever listens on a Unix socket.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/spec.h"
#include "oci/state.h"

namespace trivet::container {

// Connects to `path` (of any length) and sends `text` with `fd` as SCM_RIGHTS. `what` names the
// socket in errors.
Result<> send_descriptor(std::string_view what, const std::string& path, std::string_view text,
                         int fd);

// Connects to a console socket and sends the pty's master (runc: docs/terminals.md).
Result<> send_console(const std::string& socket_path, int master_fd);

// Sends a pidfd with its name, as runc does (runc: --pidfd-socket); an empty path sends nothing.
Result<> send_pidfd(const std::string& socket_path, int pidfd);

// Hands the listener of a seccomp filter to linux.seccomp.listenerPath (runtime-spec:
// config-linux.md, The Container Process State).
Result<> send_listener(const oci::Seccomp& seccomp, const oci::State& state, pid_t process,
                       int listener);

}  // namespace trivet::container
