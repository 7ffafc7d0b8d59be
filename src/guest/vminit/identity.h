// Who this guest is, and when: what a restored template has to be told.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "guest/messages.h"

namespace trivet::guest {

Result<> set_clock(int64_t unix_ns);

// The clock, the random numbers, the machine id. A restored guest has those of its template until
// then, as every other guest of that template; it may be woken again and again.
Result<> wake(const Wake& message);

}  // namespace trivet::guest
