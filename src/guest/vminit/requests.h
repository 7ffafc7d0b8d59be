// The operations of kRequest that are answered at once: all but "shutdown".
#pragma once

#include <string>

#include "base/result.h"
#include "container/container.h"
#include "guest/messages.h"

namespace trivet::guest {

// The JSON of kAnswer. `container` may be null: nothing was made yet.
Result<std::string> answer_request(const Request& request, container::Container* container);

}  // namespace trivet::guest
