// What the OpenSSH client has written down of one connection, at LogLevel DEBUG1.
#pragma once

#include <string_view>

#include "base/result.h"

namespace trivet::transport {

// Whether the command has ended and its status has arrived. ssh ends with 255 for failures of its
// own as well as for such a command.
[[nodiscard]] bool status_arrived(std::string_view log);

// Why there was no connection, or what it ended of, as an Error with a code and a hint.
[[nodiscard]] Error connection_error(std::string_view log);

}  // namespace trivet::transport
