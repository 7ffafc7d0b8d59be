// Inside of module monitor: what a container has in the file system.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/record.h"

namespace trivet::monitor {

// Takes the lock of a living monitor in the runtime directory; kAlreadyExists when another one
// holds it. It goes with the descriptor, or with the process.
Result<UniqueFd> take_lock(const std::string& runtime_directory);

// The part of remove_container() for a container of which nothing runs: volumes, name, directories.
Result<> remove_traces(const Directories& directories, const Record& record);

// The same in two steps, for somebody who waits for it. After the first the container is gone for
// everybody, and its name is free, because nobody has it. The second takes away what takes time;
// should it not come to that, `prune` does.
Result<> hide_traces(const Directories& directories, const Record& record);
Result<> remove_hidden_traces(const Directories& directories, const Record& record);

}  // namespace trivet::monitor
