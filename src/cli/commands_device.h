// commands_device.cc
#pragma once

#include "cli/command.h"

namespace trivet::cli {

Command make_device_ls();

}  // namespace trivet::cli
