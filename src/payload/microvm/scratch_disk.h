// The writable disk of a microVM: an empty ext4 of a given size, of which only what was written
// takes space on the host.
//
//   VM_DIR/scratch/SIZE-FORMAT.ext4   made once by mke2fs, copied for each container
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::payload::microvm {

inline constexpr uint64_t kDefaultScratchBytes = 10ULL << 30U;
inline constexpr uint64_t kMinScratchBytes = 32ULL << 20U;
inline constexpr uint64_t kMaxScratchBytes = 16ULL << 40U;

// Makes the file `path`, which must not exist, and returns it open to read and write. Its inode
// tables are written as holes: a guest has nothing to initialise. Nothing is left on failure.
// Errors: kInvalidArgument for a size out of range, kAlreadyExists, kUnsupported without mke2fs.
Result<UniqueFd> make_scratch_disk(const std::string& vm_dir, uint64_t bytes,
                                   const std::string& path);

// The same for a disk that a guest has written to: `path` becomes a copy of it, holes included.
Result<UniqueFd> copy_scratch_disk(int from, const std::string& path);

}  // namespace trivet::payload::microvm
