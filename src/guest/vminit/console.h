// What the agent has to say to nobody in particular goes to the kernel's console, and how it ends.
#pragma once

#include <string_view>

#include "base/result.h"

namespace trivet::guest {

// One line on the console (descriptor 2).
void say(std::string_view line);

// Powers the machine off, without anything that would have to be undone before.
[[noreturn]] void power_off();

// Says why, and powers off: what can't be gone on with.
[[noreturn]] void give_up(const Error& error);

}  // namespace trivet::guest
