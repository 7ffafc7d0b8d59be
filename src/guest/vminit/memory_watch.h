// Ends what thrashes (thrashing.h) as the kernel ends what is out of memory.
#pragma once

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/thrashing.h"
#include "guest/vminit/session.h"
#include "linux/cgroup.h"

namespace trivet::guest {

// Costs nothing while nobody waits for memory: the kernel wakes it.
class MemoryWatch {
 public:
  // The cgroup has to outlive the watch.
  // `number` is the container's.
  MemoryWatch(EventLoop& loop, const cgroup::Cgroup& cgroup, uint8_t number)
      : loop_(loop), cgroup_(cgroup), number_(number) {}
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;
  ~MemoryWatch();

  Result<> open();

  // How many programs it has ended that the kernel does not count.
  [[nodiscard]] uint64_t kills() const { return kills_; }

 private:
  void stalled(uint32_t events);
  void look();
  void close();
  Result<> have_one_killed();
  [[nodiscard]] Timer timer() const { return Timer{static_cast<int>(Timer::kMemory) - number_}; }

  EventLoop& loop_;
  const cgroup::Cgroup& cgroup_;
  uint8_t number_;
  uint64_t kills_ = 0;
  UniqueFd stalls_;
  ThrashingDetector detector_;
  int looks_left_ = 0;
};

}  // namespace trivet::guest
