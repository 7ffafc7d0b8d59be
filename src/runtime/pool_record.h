// What a pool is on disk.
//
// DATA/pools/NAME/       made with a name that is no pool's, then renamed: so it is whole, or not
//                        there
//   pool.json            PoolRecord, replaced by rename
//   members/ID           empty: see monitor/pool_member.h
//   failure              the error (JSON) that the last one could not be prepared with, if so
//   lock                 whoever adds or clears away members has a lock on it (fcntl(2))
// DATA/pools/.…          one that is being made, or removed; prune() finishes with it
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "runtime/home.h"
#include "trivet/pool.h"

namespace trivet::runtime {

struct PoolRecord {
  std::string name;
  Timestamp created{};
  size_t size = 0;
  std::string image;  // as it was named; empty with --rootfs
  RunOptions run;     // complete: nothing in it depends on who uses it, or where
};

[[nodiscard]] std::string print_pool(const PoolRecord& record);
// kCorrupt: not what print_pool() makes.
Result<PoolRecord> parse_pool(std::string_view text);

// kNotFound with a hint.
Result<PoolRecord> read_pool(const Home& home, std::string_view name);
Result<> write_pool(const Home& home, const PoolRecord& record);
// A new one, as a whole. kAlreadyExists.
Result<> add_pool(const Home& home, const PoolRecord& record);
// From now on there is no such pool: the directory under which it can still be reached.
Result<std::string> hide_pool(const Home& home, std::string_view name);

// Names of the pools, sorted.
Result<std::vector<std::string>> list_pool_names(const Home& home);
// Directories of those that are being made or removed.
Result<std::vector<std::string>> list_hidden_pools(const Home& home);
// Ids in a pool's directory, waiting or not.
Result<std::vector<std::string>> list_members(const std::string& directory);

// kTry: invalid when another has it.
enum class Patience { kTry, kWait };
Result<UniqueFd> lock_pool(const std::string& directory, Patience patience);
// Whether anybody has it.
[[nodiscard]] bool is_pool_locked(const std::string& directory);

// Nothing: forget the last failure.
void note_pool_failure(const Home& home, const std::string& name,
                       const std::optional<Error>& error);
[[nodiscard]] std::optional<Error> last_pool_failure(const Home& home, const std::string& name);

}  // namespace trivet::runtime
