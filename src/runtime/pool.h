// Warm pools: trivet/pool.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/home.h"
#include "trivet/pool.h"

namespace trivet::runtime {

// What the members of trivet::Pools say.
Result<PoolInfo> create_pool(const Home& home, const PoolOptions& options);
Result<Engine::RunResult> run_from_pool(const Home& home, std::string_view name,
                                        const TakeOptions& options);
Result<PoolInfo> resize_pool(const Home& home, std::string_view name, size_t size);
Result<> remove_pool(const Home& home, std::string_view name, bool force);
Result<PoolInfo> describe_pool(const Home& home, std::string_view name);
Result<std::vector<PoolInfo>> list_pools(const Home& home);
Result<std::string> inspect_pool(const Home& home, std::string_view name);

// The options of a pool's containers, such that they mean the same to any process at any place.
Result<RunOptions> settle_options(const Home& home, RunOptions options);

}  // namespace trivet::runtime
