// The life of a supervisor's process, whatever it holds: a machine, or a member of one.
#pragma once

#include <memory>
#include <unistd.h>

#include "base/event_loop.h"
#include "base/fs.h"
#include "vmm/relay.h"

namespace trivet::vmm {

// Does not return but when there is nothing to run it with: 1 then.
template <typename Supervisor, typename Job>
int run_for_good(Job job) {
  const auto fail_with = [](const Error& error) {
    (void)write_all(STDERR_FILENO, fmt::format("trivet-vmm: {}\n", error.message()), "stderr");
    return 1;
  };
  auto signals = Signals::block();
  if (!signals) return fail_with(signals.error());
  auto loop = EventLoop::create();
  if (!loop) return fail_with(loop.error());
  // Lives as long as the process, whose end is the end of everything in its pid namespace.
  auto supervisor =
      std::make_unique<Supervisor>(std::move(job), std::move(*loop), std::move(*signals));
  _exit(supervisor->run());
}

}  // namespace trivet::vmm
