// What a cgroup has used, and the watch on its memory limit.
#include <charconv>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/fs.h"
#include "base/text.h"
#include "linux/cgroup.h"
#include "linux/cgroup_files.h"

namespace trivet::cgroup {

namespace {

constexpr uint64_t kNanosecondsPerMicrosecond = 1000;
// cpuacct.stat counts in USER_HZ, which is 100 on every Linux.
constexpr uint64_t kNanosecondsPerTick = 10'000'000;

// A statistic whose file this kernel lacks stays zero; other failures are errors.
Result<std::string> read_optional(const std::string& directory, const std::string& file) {
  auto text = read_control(directory, file);
  if (!text && (text.error().errnum() == ENOENT || text.error().errnum() == EOPNOTSUPP)) return {};
  return text;
}

Result<uint64_t> read_optional_number(const std::string& directory, const std::string& file) {
  auto number = read_number(directory, file);
  if (!number && number.error().errnum() == ENOENT) return 0;
  return number;
}

uint64_t parse_count(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::map<std::string, uint64_t> parse_memory_stat(std::string_view text) {
  std::map<std::string, uint64_t> details;
  for (const std::string& line : split(text, '\n')) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    details[line.substr(0, space)] = parse_count(std::string_view(line).substr(space + 1));
  }
  return details;
}

uint64_t detail(const Stats& stats, const std::string& key) {
  const auto found = stats.memory_details.find(key);
  return found == stats.memory_details.end() ? 0 : found->second;
}

Result<> read_pids(const std::string& directory, Stats& stats) {
  if (directory.empty()) return {};
  stats.pids = TRY(read_optional_number(directory, "pids.current"));
  const uint64_t limit = TRY(read_optional_number(directory, "pids.max"));
  stats.pids_limit = limit == UINT64_MAX ? 0 : limit;
  return {};
}

Result<uint64_t> read_oom_kills(const std::string& directory, const std::string& file) {
  const std::string text = TRY(read_optional(directory, file));
  return find_value(text, "oom_kill").value_or(0);
}

Result<> read_memory_v1(const std::string& directory, Stats& stats) {
  if (directory.empty()) return {};
  stats.memory_usage = TRY(read_optional_number(directory, "memory.usage_in_bytes"));
  stats.memory_limit = TRY(read_optional_number(directory, "memory.limit_in_bytes"));
  stats.memory_peak = TRY(read_optional_number(directory, "memory.max_usage_in_bytes"));
  stats.memory_details = parse_memory_stat(TRY(read_optional(directory, "memory.stat")));
  stats.memory_inactive_file = detail(stats, "total_inactive_file");
  stats.oom_kills = TRY(read_oom_kills(directory, "memory.oom_control"));
  return {};
}

Result<> read_memory_v2(const std::string& directory, Stats& stats) {
  stats.memory_usage = TRY(read_optional_number(directory, "memory.current"));
  stats.memory_limit = TRY(read_optional_number(directory, "memory.max"));
  stats.memory_peak = TRY(read_optional_number(directory, "memory.peak"));
  stats.memory_details = parse_memory_stat(TRY(read_optional(directory, "memory.stat")));
  stats.memory_inactive_file = detail(stats, "inactive_file");
  stats.oom_kills = TRY(read_oom_kills(directory, "memory.events"));
  return {};
}

Result<> read_cpu_v1(const std::string& accounting, const std::string& cpu, Stats& stats) {
  if (!accounting.empty()) {
    stats.cpu_usage_ns = TRY(read_optional_number(accounting, "cpuacct.usage"));
    const std::string split_up = TRY(read_optional(accounting, "cpuacct.stat"));
    stats.cpu_user_ns = find_value(split_up, "user").value_or(0) * kNanosecondsPerTick;
    stats.cpu_system_ns = find_value(split_up, "system").value_or(0) * kNanosecondsPerTick;
  }
  if (cpu.empty()) return {};
  const std::string text = TRY(read_optional(cpu, "cpu.stat"));
  stats.cpu_periods = find_value(text, "nr_periods").value_or(0);
  stats.cpu_throttled_periods = find_value(text, "nr_throttled").value_or(0);
  stats.cpu_throttled_ns = find_value(text, "throttled_time").value_or(0);
  return {};
}

Result<> read_cpu_v2(const std::string& directory, Stats& stats) {
  const std::string text = TRY(read_optional(directory, "cpu.stat"));
  const auto microseconds = [&](std::string_view key) {
    return find_value(text, key).value_or(0) * kNanosecondsPerMicrosecond;
  };
  stats.cpu_usage_ns = microseconds("usage_usec");
  stats.cpu_user_ns = microseconds("user_usec");
  stats.cpu_system_ns = microseconds("system_usec");
  stats.cpu_throttled_ns = microseconds("throttled_usec");
  stats.cpu_periods = find_value(text, "nr_periods").value_or(0);
  stats.cpu_throttled_periods = find_value(text, "nr_throttled").value_or(0);
  return {};
}

// "8:0 Read 4096" for each device, and a line "Total N".
Result<> read_block_io_v1(const std::string& directory, Stats& stats) {
  if (directory.empty()) return {};
  // The throttling layer counts whatever the scheduler; BFQ counts its own devices only.
  const std::string text =
      TRY(read_optional(directory, "blkio.throttle.io_service_bytes_recursive"));
  for (const std::string& line : split(text, '\n')) {
    const std::vector<std::string> words = split(line, ' ');
    if (words.size() != 3) continue;
    if (words[1] == "Read") stats.block_read_bytes += parse_count(words[2]);
    if (words[1] == "Write") stats.block_write_bytes += parse_count(words[2]);
  }
  return {};
}

// "8:0 rbytes=4096 wbytes=0 …" for each device.
Result<> read_block_io_v2(const std::string& directory, Stats& stats) {
  const std::string text = TRY(read_optional(directory, "io.stat"));
  for (const std::string& line : split(text, '\n')) {
    for (const std::string& word : split(line, ' ')) {
      const std::string_view value = std::string_view(word).substr(word.find('=') + 1);
      if (word.starts_with("rbytes=")) stats.block_read_bytes += parse_count(value);
      if (word.starts_with("wbytes=")) stats.block_write_bytes += parse_count(value);
    }
  }
  return {};
}

Result<UniqueFd> watch_oom_v1(const std::string& directory) {
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return fail_errno("eventfd");
  const UniqueFd control = TRY(open_file(directory + "/memory.oom_control", O_RDONLY));
  TRY(write_control(directory, "cgroup.event_control",
                    fmt::format("{} {}", event.get(), control.get())));
  return event;
}

Result<UniqueFd> watch_oom_v2(const std::string& directory) {
  UniqueFd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch) return fail_errno("inotify_init1");
  const std::string file = directory + "/memory.events";
  if (inotify_add_watch(watch.get(), file.c_str(), IN_MODIFY) < 0) {
    if (errno == ENOENT) return UniqueFd();  // the memory controller is off here
    return fail_errno("inotify_add_watch \"{}\"", file);
  }
  return watch;
}

}  // namespace

Result<Stats> Cgroup::stats() const {
  Stats stats;
  if (paths_.mode == Mode::kV2) {
    const std::string directory = directory_of("unified");
    TRY(read_cpu_v2(directory, stats));
    TRY(read_memory_v2(directory, stats));
    TRY(read_pids(directory, stats));
    TRY(read_block_io_v2(directory, stats));
    return stats;
  }
  TRY(read_cpu_v1(directory_of("cpuacct"), directory_of("cpu"), stats));
  TRY(read_memory_v1(directory_of("memory"), stats));
  TRY(read_pids(directory_of("pids"), stats));
  TRY(read_block_io_v1(directory_of("blkio"), stats));
  return stats;
}

Result<uint64_t> Cgroup::oom_kills() const {
  if (paths_.mode == Mode::kV2) return read_oom_kills(directory_of("unified"), "memory.events");
  const std::string directory = directory_of("memory");
  if (directory.empty()) return 0;
  return read_oom_kills(directory, "memory.oom_control");
}

Result<UniqueFd> Cgroup::watch_oom() const {
  if (paths_.mode == Mode::kV2) return watch_oom_v2(directory_of("unified"));
  const std::string directory = directory_of("memory");
  if (directory.empty()) return UniqueFd();
  return watch_oom_v1(directory);
}

Result<UniqueFd> Cgroup::watch_memory_stalls(std::chrono::microseconds stall,
                                             std::chrono::microseconds window) const {
  if (paths_.mode != Mode::kV2) {
    return fail(ErrorCode::kUnsupported, "memory stalls can be watched on cgroup v2 only");
  }
  const std::string file = directory_of("unified") + "/memory.pressure";
  UniqueFd watch = TRY(open_file(file, O_RDWR | O_NONBLOCK));
  TRY(write_all(watch.get(), fmt::format("some {} {}", stall.count(), window.count()), file));
  return watch;
}

}  // namespace trivet::cgroup
