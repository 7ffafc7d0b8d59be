#pragma once

namespace trivet {

// As a new program expects them, whatever the caller's process had: each with its default, none
// blocked. Only system calls happen, so it serves between fork(2) and exec(2) too.
void reset_signals();

}  // namespace trivet
