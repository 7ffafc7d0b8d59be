// The commands of `trivet pool`, each by the function that declares it.
#pragma once

#include "cli/command.h"

namespace trivet::cli {

Command make_pool_create();
Command make_pool_run();
Command make_pool_ls();
Command make_pool_inspect();
Command make_pool_resize();
Command make_pool_rm();

}  // namespace trivet::cli
