// What this host offers and what there is, for `trivet info`.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/home.h"

namespace trivet::runtime {

Result<std::string> describe_host(const Home& home);

}  // namespace trivet::runtime
