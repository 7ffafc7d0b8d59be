// Memory that has run out without the kernel's finding so. Where there is no swap, a program at its
// limit loses the pages of its files, those of its code among them, has them read again an instant
// later, and each such page counts as memory that could be won: the kernel may go on for minutes
// before it kills. On a host the pages of an image are seldom charged to the container and stay.
#pragma once

#include <cstdint>
#include <optional>

namespace trivet::guest {

// What a cgroup has used, and what it has cost so far: memory.current, memory.stat, cpu.stat.
struct MemoryUse {
  uint64_t used = 0;          // bytes
  uint64_t cache = 0;         // bytes of it: pages of files, which can be read again
  uint64_t refaults = 0;      // pages that were read again after they had been thrown away
  uint64_t major_faults = 0;  // how often a program that touched its memory waited for a file
  uint64_t user_ns = 0;
  uint64_t system_ns = 0;
};

// To be fed at a steady pace. Reading files, however large and often, is no thrashing: their pages
// are then most of what is used, or come by read(2).
class ThrashingDetector {
 public:
  // Whether memory has run out; what was seen is forgotten then.
  bool look(const MemoryUse& now);

 private:
  std::optional<MemoryUse> last_;
  int looks_ = 0;           // of thrashing, in a row
  double turned_over_ = 0;  // how often the cache was read again meanwhile
};

}  // namespace trivet::guest
