// Handing a descriptor to whoever listens on a Unix socket.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::container {

// Connects to `path` (of any length) and sends `text` with `fd` as SCM_RIGHTS. `what` names the
// socket in errors.
Result<> send_descriptor(std::string_view what, const std::string& path, std::string_view text,
                         int fd);

}  // namespace trivet::container
