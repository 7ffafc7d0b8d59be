// Clearing away: stopped containers and what crashes and kills left behind.
#pragma once

#include "base/result.h"
#include "runtime/home.h"
#include "trivet/engine.h"

namespace trivet::runtime {

// Stopped and never started containers, directories without a record that are older than a minute,
// the engine's state and runtime directories of containers that are gone, names that point nowhere.
// What a living monitor holds stays. The first failure is returned after everything was tried.
Result<PruneResult> prune_containers(const Home& home);

}  // namespace trivet::runtime
