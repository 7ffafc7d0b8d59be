// Hosts and ports that can be given to ssh without being taken for something else.
#pragma once

#include <string_view>

#include "base/result.h"
#include "trivet/transport.h"

namespace trivet::transport {

Result<> check_endpoint(const SshEndpoint& endpoint, SshReach reach);

// A name of a Unix user: letters, digits, "_", "-" and ".", no "-" first.
Result<> check_user(std::string_view user);

}  // namespace trivet::transport
