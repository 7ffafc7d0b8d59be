// What containers are and do, put together from their records, the monitor's status and the kernel.
// Nothing here trusts that a monitor, or the machine, ended in an orderly way.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "container/container.h"
#include "runtime/home.h"
#include "trivet/engine.h"

namespace trivet::runtime {

// A container as it is now.
struct Observed {
  monitor::Record record;
  monitor::Status status;
  bool monitor_alive = false;
  bool init_alive = false;
  ContainerStatus state = ContainerStatus::kCreated;
};

// The state, from what the monitor wrote and what is alive. A monitor that died leaves a container
// that is running without anybody to note its end (kBroken), or one that is stopped.
[[nodiscard]] ContainerStatus judge_state(const monitor::Status& status, bool monitor_alive,
                                          bool init_alive);

// kNotFound when the record is missing (a half-made directory).
Result<Observed> observe(const Home& home, const std::string& id);
// find_id and observe.
Result<Observed> observe_named(const Home& home, std::string_view name);

// kWrongState unless its init runs: "container "web" is not running".
Result<> require_running(const Observed& observed);
// The engine's view of a running container.
Result<container::Container> load_engine(const Home& home, const Observed& observed);

enum class WithSize { kNo, kYes };
Result<ContainerInfo> describe_container(const Home& home, const Observed& observed, WithSize size);
// Newest first; half-made directories are left out.
Result<std::vector<ContainerInfo>> list_containers(const Home& home, bool all, WithSize size);

// Docker's inspect document.
Result<std::string> inspect_container(const Home& home, const Observed& observed, WithSize size);

// CPU time at one moment.
struct CpuSample {
  Timestamp time{};
  uint64_t usage_ns = 0;
};
// `last` is the sample that the percentage is counted from (none: the container's start); it
// becomes this one.
Result<ContainerStats> container_stats(const Home& home, const Observed& observed,
                                       std::optional<CpuSample>& last);

// The rows of ps(1) output whose PID column is among `pids`, after the header. kInvalidArgument
// when there is no such column.
Result<std::vector<std::vector<std::string>>> parse_ps(std::string_view output,
                                                       const std::vector<pid_t>& pids);
// With ps options the host's ps(1) prints; without, no program is needed.
Result<std::vector<std::vector<std::string>>> container_top(
    const Home& home, const Observed& observed, const std::vector<std::string>& ps_options);

}  // namespace trivet::runtime
