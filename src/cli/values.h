// The little languages of option values. All functions are pure, and fail with kInvalidArgument and
// a hint that shows how the value is written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/text.h"
#include "trivet/engine.h"

namespace trivet::cli {

// "type=bind,source=/data,target=/mnt,readonly", Docker's --mount.
Result<MountOption> parse_mount(std::string_view text);

// "no", "always", "unless-stopped", "on-failure", "on-failure:3".
Result<RestartPolicy> parse_restart(std::string_view text);

// CPU time: microseconds of quota in each period. No quota: unlimited.
struct CpuTime {
  std::optional<int64_t> quota;
  uint64_t period = 100000;
};
// "1.5": that many CPUs; 0 is unlimited.
Result<CpuTime> parse_cpus(std::string_view text);
// "50000 100000" or "max 100000", as in cgroup v2's cpu.max.
Result<CpuTime> parse_cpu_max(std::string_view text);

// A size of memory in bytes; nothing for 0, which means no limit.
Result<std::optional<int64_t>> parse_limit(std::string_view text);
// The same, where -1 is a value of its own: unlimited swap.
Result<std::optional<int64_t>> parse_swap_limit(std::string_view text);
// A number of processes; nothing for 0 and -1, which mean no limit.
Result<std::optional<int64_t>> parse_pids_limit(std::string_view text);

// "KEY=VALUE"; the value may be empty, and missing with its "=".
Result<std::pair<std::string, std::string>> parse_pair(std::string_view text);

// "/bin/sh" is one word, "" none, and a JSON array of strings as many as it has.
Result<std::vector<std::string>> parse_entrypoint(const std::string& text);

// A moment: RFC 3339, a date, seconds since 1970, or a duration back from now ("10m").
Result<Timestamp> parse_moment(std::string_view text);

// A file of NAME=VALUE lines; blank lines and those that start with "#" don't count.
Result<std::vector<std::string>> read_env_file(const std::string& path);

}  // namespace trivet::cli
