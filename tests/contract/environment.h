// What the programs of contracts are told.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/text.h"

namespace trivet::contract {

inline std::string environment(const char* name, const char* standard = "") {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  return value == nullptr ? standard : value;
}

inline int patience() {
  const auto number = parse_int(environment("TRIVET_TEST_PATIENCE", "1"));
  return std::max(1, static_cast<int>(number.value_or(1)));
}

}  // namespace trivet::contract
