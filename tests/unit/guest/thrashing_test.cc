#include "guest/thrashing.h"

#include <gtest/gtest.h>

namespace trivet::guest {

namespace {

constexpr uint64_t kMib = 1U << 20U;
constexpr uint64_t kMillisecond = 1'000'000;

// What a look sees of a second in which `step` was added.
MemoryUse after(MemoryUse use, const MemoryUse& step) {
  use.refaults += step.refaults;
  use.major_faults += step.major_faults;
  use.user_ns += step.user_ns;
  use.system_ns += step.system_ns;
  return use;
}

// How many looks it takes; 0 when twenty are not enough.
int looks_until_found(MemoryUse use, const MemoryUse& step) {
  ThrashingDetector detector;
  for (int looks = 1; looks <= 20; ++looks) {
    if (detector.look(use)) return looks;
    use = after(use, step);
  }
  return 0;
}

// As it was measured with a limit of 32 MiB, in software emulation.
const MemoryUse kAtLimit{
    .used = 32 * kMib, .cache = kMib / 8, .refaults = 1500, .major_faults = 70};
const MemoryUse kSecond{.refaults = 1300,
                        .major_faults = 45,
                        .user_ns = 40 * kMillisecond,
                        .system_ns = 500 * kMillisecond};

MemoryUse with(MemoryUse use, uint64_t MemoryUse::* member, uint64_t value) {
  use.*member = value;
  return use;
}

}  // namespace

TEST(Thrashing, IsFoundAfterThreeSeconds) {
  EXPECT_EQ(looks_until_found(kAtLimit, kSecond), 4);  // the first has nothing to compare with
}

TEST(Thrashing, IsFoundLaterWhereEverythingIsSlower) {
  const MemoryUse slow = {.refaults = 65, .major_faults = 3, .user_ns = 1, .system_ns = 2};
  EXPECT_GT(looks_until_found(kAtLimit, slow), 4);
}

TEST(Thrashing, IsNotWhatHasACacheLeft) {
  EXPECT_EQ(looks_until_found(with(kAtLimit, &MemoryUse::cache, 3 * kMib), kSecond), 0);
}

TEST(Thrashing, IsNotReadingAFileAgainAndAgain) {
  EXPECT_EQ(looks_until_found(kAtLimit, with(kSecond, &MemoryUse::refaults, 20000)), 0);
}

TEST(Thrashing, IsNotWhatGetsOnWithItsWork) {
  EXPECT_EQ(looks_until_found(kAtLimit, with(kSecond, &MemoryUse::user_ns, 600 * kMillisecond)), 0);
}

TEST(Thrashing, IsNotAFullCacheThatRests) {
  EXPECT_EQ(looks_until_found(kAtLimit, {.user_ns = 1, .system_ns = 2}), 0);
}

TEST(Thrashing, HasToLast) {
  ThrashingDetector detector;
  MemoryUse use = kAtLimit;
  for (int round = 0; round < 5; ++round) {
    for (int second = 0; second < 3; ++second) {
      EXPECT_FALSE(detector.look(use));
      use = after(use, kSecond);
    }
    EXPECT_FALSE(detector.look(with(use, &MemoryUse::cache, 16 * kMib)));
  }
}

TEST(Thrashing, IsForgottenOnceItWasFound) {
  ThrashingDetector detector;
  MemoryUse use = kAtLimit;
  int found = 0;
  for (int second = 0; second < 10; ++second) {
    found += detector.look(use) ? 1 : 0;
    use = after(use, kSecond);
  }
  EXPECT_EQ(found, 3);
}

}  // namespace trivet::guest
