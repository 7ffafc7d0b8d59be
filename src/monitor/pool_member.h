// What ties a container that waits to the pool it was prepared for.
//
// DATA/pools/NAME/members/ID   empty, as long as the container is the pool's: made before anything
//                              of the container, so that nothing of a pool is ever out of its
//                              sight, and removed by the monitor when it was taken
// DATA/containers/ID/pool      the pool's name; it stays
#pragma once

#include <string>

#include "base/result.h"
#include "monitor/record.h"

namespace trivet::monitor {

[[nodiscard]] inline std::string pool_directory(const Directories& directories,
                                                const std::string& pool) {
  return directories.data + "/pools/" + pool;
}
[[nodiscard]] inline std::string pool_entry(const Directories& directories, const std::string& pool,
                                            const std::string& id) {
  return pool_directory(directories, pool) + "/members/" + id;
}

Result<> write_pool_of(const Directories& directories, const std::string& id,
                       const std::string& pool);
// Empty: it was not prepared for any.
Result<std::string> read_pool_of(const Directories& directories, const std::string& id);

// The status of one that waits: its init is known, and has not begun.
[[nodiscard]] inline bool is_waiting(const Status& status) {
  return status.phase == Phase::kCreated && !status.started && status.init.pid > 0;
}

}  // namespace trivet::monitor
