// How a pool comes to its containers, and loses them: what the program trivet-pool-filler does.
//
// There is no process that lives as long as the pool. A filler prepares what lacks, and ends; a
// second one leaves it to the first.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/record.h"
#include "runtime/home.h"
#include "runtime/pool_record.h"

namespace trivet::runtime {

// Until as many wait as the pool's size says: makes what lacks, ends what is too many, clears away
// what died. With kTry nothing happens while another process does that. Returns the first failure,
// which is noted with the pool, too. That there is no such pool (any more) is no failure.
Result<> fill_pool(const Home& home, const std::string& name, Patience patience);

// Only clears away what died, unless another process fills it.
Result<> settle_pool(const Home& home, const std::string& name);

// The same in a process of its own. kTry: in the background, it is not waited for.
Result<> run_filler(const Home& home, const std::string& name, Patience patience);

// Whether it can be taken.
[[nodiscard]] bool is_ready(const Home& home, const std::string& id);

// Ends those that wait, in the directory of a pool that is hidden, then removes the directory.
// Those that were taken meanwhile stay. Repeatable.
Result<> clear_hidden_pool(const Home& home, const std::string& directory);

// Whether it was prepared for a pool and was not started yet.
[[nodiscard]] bool waits_in_pool(const Home& home, const std::string& id);
// Whether no pool knows it any more.
[[nodiscard]] bool is_lost_member(const Home& home, const std::string& id);
// Ends it, if it is not taken meanwhile, with every trace.
Result<> discard_member(const Home& home, const std::string& id);

}  // namespace trivet::runtime
