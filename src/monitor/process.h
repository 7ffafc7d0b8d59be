// What a process does around its monitors: trivet-monitor around one, a pod's supervisor around
// several.
#pragma once

#include <functional>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/arguments.h"
#include "monitor/monitor.h"

namespace trivet::monitor {

// The caller's session, terminal, directory and streams are none of ours any more; orphans of our
// containers come to us.
Result<> detach_from_caller();

// Blocks what should not end the process and makes a descriptor of it: SIGTERM, SIGINT, SIGHUP,
// SIGCHLD, SIGPIPE.
Result<UniqueFd> take_signals();
// Those that are there. True when it is to end: SIGTERM or SIGINT was among them.
bool read_signals(int fd);

// Reaps every child that has ended, up to the first that is somebody's own, who reaps it through
// its pidfd; those behind it have their turn after that, when it is called again.
void reap_strays(const std::function<bool(pid_t)>& is_owned);

// The life of trivet-monitor: one container, to its end. How the start went is told on
// Arguments::sync.
Result<> live(Arguments arguments);

}  // namespace trivet::monitor
