// The network of a microVM behind passt: net/network.h.
#pragma once

#include "guest/messages.h"

namespace trivet::monitor {

// The guest's side of what net::start_passt() gives it.
[[nodiscard]] guest::Interface vm_interface();

}  // namespace trivet::monitor
