// Starting, joining, ending and changing containers, through their monitors where these live.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/home.h"
#include "runtime/observe.h"
#include "trivet/engine.h"

namespace trivet::runtime {

Result<Engine::RunResult> run_container(const Home& home, const RunOptions& options);
// Running already is fine.
Result<> start_container(const Home& home, const Observed& observed);
// The same with the caller's streams; attaches to what runs already.
Result<AttachResult> start_attached(const Home& home, const Observed& observed,
                                    const AttachOptions& options);
Result<AttachResult> attach_container(const Home& home, const Observed& observed,
                                      const AttachOptions& options);

// Not running is fine. `signal` 0: the container's own.
Result<> stop_container(const Home& home, const Observed& observed,
                        std::optional<std::chrono::milliseconds> grace, int signal);
Result<> kill_container(const Home& home, const Observed& observed, int signal);
Result<> pause_container(const Home& home, const Observed& observed);
Result<> unpause_container(const Home& home, const Observed& observed);
Result<> remove_container(const Home& home, std::string_view name, bool force, bool volumes);
Result<> rename_container(const Home& home, const Observed& observed, const std::string& new_name);
// kTimeout, kCanceled.
Result<int> wait_container(const Home& home, const Observed& observed,
                           std::optional<std::chrono::milliseconds> timeout,
                           const std::stop_token& stop = {});

// kWrongState for a container of a pod: its pod is what is started, renamed, removed.
Result<> require_podless(const Observed& observed, std::string_view verb);

// Waits until the monitor has let go of the container; kTimeout after ten seconds.
Result<> wait_for_monitor_end(const Home& home, const std::string& id);
// For a container whose monitor is gone: kills what still runs of it, removes what the engine
// keeps, and writes how it ended.
Result<> settle_container(const Home& home, const std::string& id);

}  // namespace trivet::runtime
