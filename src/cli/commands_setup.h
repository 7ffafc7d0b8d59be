// The makers of the commands about this host's set-up; commands.h has the others.
#pragma once

#include "cli/command.h"

namespace trivet::cli {

// commands_config.cc
Command make_config_show();
Command make_config_check();
Command make_config_schema();

// commands_doctor.cc
Command make_doctor();

}  // namespace trivet::cli
