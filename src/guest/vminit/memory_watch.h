// Ends what thrashes (thrashing.h) as the kernel ends what is out of memory.
#pragma once

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/thrashing.h"
#include "linux/cgroup.h"

namespace trivet::guest {

// Costs nothing while nobody waits for memory: the kernel wakes it.
class MemoryWatch {
 public:
  // The cgroup has to outlive the watch.
  MemoryWatch(EventLoop& loop, const cgroup::Cgroup& cgroup) : loop_(loop), cgroup_(cgroup) {}
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;
  ~MemoryWatch();

  Result<> open();

 private:
  void stalled(uint32_t events);
  void look();
  void close();

  EventLoop& loop_;
  const cgroup::Cgroup& cgroup_;
  UniqueFd stalls_;
  ThrashingDetector detector_;
  int looks_left_ = 0;
};

}  // namespace trivet::guest
