// What the process of a libkrun machine may not do: what QEMU's own filter keeps from QEMU.
#pragma once

#include "base/result.h"

namespace trivet::krun {

// Before any of the library's functions is called. No other program can be run, no right be gained,
// nothing be mounted, nobody be traced; threads are started as ever.
Result<> confine_machine();

}  // namespace trivet::krun
