#include "guest/thrashing.h"

#include <algorithm>
#include <utility>

namespace trivet::guest {

namespace {

constexpr uint64_t kPage = 4096;
// Of what is used: with more than this part in the cache the program has enough for its code.
constexpr uint64_t kLargeCachePart = 16;
// A fault reads ahead: up to 32 pages that may all have been there before.
constexpr uint64_t kPagesOfFault = 64;
// So long and so much of it is no peak.
constexpr int kEnoughLooks = 3;
constexpr double kEnoughTurns = 16;

// How often the whole cache was read again between two looks.
double turns(const MemoryUse& before, const MemoryUse& now) {
  const uint64_t cache = std::max({before.cache, now.cache, kPage});
  return static_cast<double>((now.refaults - before.refaults) * kPage) / static_cast<double>(cache);
}

bool is_thrashing(const MemoryUse& before, const MemoryUse& now) {
  const uint64_t refaults = now.refaults - before.refaults;
  const uint64_t faults = now.major_faults - before.major_faults;
  const bool small_cache = now.cache <= now.used / kLargeCachePart;
  const bool by_faults = refaults <= faults * kPagesOfFault;
  const bool in_kernel = now.user_ns - before.user_ns < now.system_ns - before.system_ns;
  return small_cache && by_faults && in_kernel && turns(before, now) >= 1;
}

}  // namespace

bool ThrashingDetector::look(const MemoryUse& now) {
  const auto before = std::exchange(last_, now);
  if (!before || !is_thrashing(*before, now)) {
    looks_ = 0;
    turned_over_ = 0;
    return false;
  }
  ++looks_;
  turned_over_ += turns(*before, now);
  if (looks_ < kEnoughLooks || turned_over_ < kEnoughTurns) return false;
  looks_ = 0;
  turned_over_ = 0;
  return true;
}

}  // namespace trivet::guest
