// How containers come to wait for a start, and are started then: start.cc.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/attach_client.h"
#include "monitor/control.h"
#include "monitor/start_request.h"
#include "runtime/home.h"

namespace trivet::runtime {

// A monitor that holds the container, when it is told to go, until somebody has it started.
Result<monitor::MonitorStarting> spawn_holder(const Home& home, const std::string& id);

// Starts one that waits: kWrongState when another was first, kNotFound when it has ended. After a
// foreground request the connection is for attach_client(), which needs no announcing.
Result<UniqueFd> start_waiting(const Home& home, const std::string& id,
                               const monitor::StartRequest& request,
                               const monitor::AttachOptions& streams);

// Removes what a failed start has left; the cause, with what went wrong on that as a note.
Error discard_container(const Home& home, const monitor::Record& record, Error cause);

}  // namespace trivet::runtime
