// Volumes: DATA/volumes/NAME/_data, with volume.json beside.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/home.h"
#include "runtime/plan.h"
#include "trivet/engine.h"

namespace trivet::runtime {

enum class Presence { kMade, kExisted };

// Makes the volume unless it exists.
Result<Presence> make_volume(const Home& home, const std::string& name, bool anonymous);
// kNotFound; kWrongState when containers use it (never removed then); `force` makes a missing one
// fine.
Result<> remove_volume(const Home& home, const std::string& name, bool force);
Result<std::vector<VolumeInfo>> list_volumes(const Home& home);
// Removes every volume that no container uses, named ones too.
Result<PruneResult> prune_volumes(const Home& home);

// Names of the volumes a container has mounted.
[[nodiscard]] std::vector<std::string> volumes_of(const monitor::Record& record);

// Fills an empty volume with what the image has at its destination, with owner and mode.
Result<> copy_up(const Home& home, const std::vector<std::string>& layers, const VolumeUse& use);

}  // namespace trivet::runtime
