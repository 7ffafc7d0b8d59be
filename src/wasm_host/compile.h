// `trivet-wasm compile DIRECTORY plain|fuel < MODULE`: puts a module's code into a cache directory.
#pragma once

#include <string>

#include "base/result.h"
#include "payload/wasm/cache.h"

namespace trivet::wasm_host {

struct CacheEntry {
  std::string key;
  bool was_there = false;
};

// An entry that is in the directory and whole. What is there already is only used if its digest is
// right.
Result<CacheEntry> compile_into_cache(const std::string& directory, payload::wasm::Fuel fuel);

}  // namespace trivet::wasm_host
