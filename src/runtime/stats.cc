// Live numbers of a container: its cgroup and its network devices.
#include <algorithm>
#include <charconv>
#include <sys/sysinfo.h>

#include "base/fs.h"
#include "runtime/machine.h"
#include "runtime/observe.h"

namespace trivet::runtime {

namespace {

uint64_t host_memory() {
  struct sysinfo info{};
  if (sysinfo(&info) != 0) return 0;
  return static_cast<uint64_t>(info.totalram) * info.mem_unit;
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (;;) {
    const size_t begin = line.find_first_not_of(" \t:");
    if (begin == std::string_view::npos) return fields;
    line.remove_prefix(begin);
    const size_t end = std::min(line.find_first_of(" \t:"), line.size());
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// /proc/PID/net/dev: "eth0: RX-BYTES … (8 columns) TX-BYTES …", without the loopback device.
void add_network(pid_t pid, ContainerStats& stats) {
  const auto text = read_file(fmt::format("/proc/{}/net/dev", pid), 1U << 20U);
  if (!text) return;  // the container has just ended
  for (const std::string& line : split(*text, '\n')) {
    const auto fields = fields_of(line);
    if (line.find('|') != std::string::npos || fields.size() < 10 || fields[0] == "lo") continue;
    stats.net_rx += number(fields[1]);
    stats.net_tx += number(fields[9]);
  }
}

// The share of one CPU since `last`, or over the life of the container without one.
double cpu_percent(const CpuSample& now, const std::optional<CpuSample>& last,
                   const monitor::Status& status) {
  CpuSample since;
  if (last && last->usage_ns <= now.usage_ns) {
    since = *last;
  } else {
    since.time = status.started.value_or(now.time);
  }
  const std::chrono::duration<double, std::nano> elapsed = now.time - since.time;
  if (elapsed.count() <= 0) return 0;
  return 100 * static_cast<double>(now.usage_ns - since.usage_ns) / elapsed.count();
}

Result<> read_host_stats(const Home& home, const Observed& observed, ContainerStats& stats) {
  const container::Container engine = TRY(load_engine(home, observed));
  const cgroup::Stats now = TRY(engine.stats());
  stats.cpu_usage_ns = now.cpu_usage_ns;
  stats.memory_usage = now.memory_usage - std::min(now.memory_usage, now.memory_inactive_file);
  const uint64_t total = host_memory();
  stats.memory_limit = now.memory_limit == 0 ? total : std::min(now.memory_limit, total);
  stats.pids = now.pids;
  stats.pids_limit = now.pids_limit;
  stats.block_read = now.block_read_bytes;
  stats.block_write = now.block_write_bytes;
  add_network(observed.status.init.pid, stats);
  return {};
}

}  // namespace

Result<ContainerStats> container_stats(const Home& home, const Observed& observed,
                                       std::optional<CpuSample>& last) {
  TRY(require_running(observed));
  ContainerStats stats;
  stats.id = observed.record.id;
  stats.name = observed.record.name;
  if (monitor::is_machine(observed.record)) {
    TRY(read_machine_stats(observed, stats));
  } else {
    TRY(read_host_stats(home, observed, stats));
  }
  const CpuSample sample{.time = std::chrono::system_clock::now(), .usage_ns = stats.cpu_usage_ns};
  stats.cpu_percent = cpu_percent(sample, last, observed.status);
  // A guest has counted before its program began, and has no more than its processors.
  if (observed.status.vm) {
    stats.cpu_percent = std::min(stats.cpu_percent, 100.0 * observed.status.vm->vcpus);
  }
  last = sample;
  return stats;
}

}  // namespace trivet::runtime
