// events: what containerd and people watch a container by, in runc's JSON.
#include <array>
#include <chrono>
#include <poll.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "container/container.h"
#include "oci_cli/commands.h"

namespace trivet::oci_cli {

namespace {

using container::Container;
using container::Status;

Json memory_json(const cgroup::Stats& stats) {
  const auto detail = [&](const char* name) {
    const auto found = stats.memory_details.find(name);
    return found == stats.memory_details.end() ? uint64_t{0} : found->second;
  };
  // "cache" of v1 is "file" of v2.
  const uint64_t cache = detail("cache") != 0 ? detail("cache") : detail("file");
  return {{"cache", cache},
          {"usage",
           {{"limit", stats.memory_limit},
            {"usage", stats.memory_usage},
            {"max", stats.memory_peak},
            {"failcnt", stats.oom_kills}}},
          {"raw", stats.memory_details}};
}

Json stats_json(const cgroup::Stats& stats) {
  return {{"cpu",
           {{"usage",
             {{"total", stats.cpu_usage_ns},
              {"kernel", stats.cpu_system_ns},
              {"user", stats.cpu_user_ns}}},
            {"throttling",
             {{"periods", stats.cpu_periods},
              {"throttledPeriods", stats.cpu_throttled_periods},
              {"throttledTime", stats.cpu_throttled_ns}}}}},
          {"memory", memory_json(stats)},
          {"pids", {{"current", stats.pids}, {"limit", stats.pids_limit}}},
          {"blkio",
           {{"ioServiceBytesRecursive",
             Json::array({{{"op", "Read"}, {"value", stats.block_read_bytes}},
                          {{"op", "Write"}, {"value", stats.block_write_bytes}}})}}}};
}

Result<> print_event(const std::string& id, const char* type, const Json& data) {
  Json event{{"type", type}, {"id", id}};
  if (!data.is_null()) event["data"] = data;
  return write_all(STDOUT_FILENO, event.dump() + "\n", "stdout");
}

Result<> print_stats(const Container& container) {
  const cgroup::Stats stats = TRY(container.stats());
  return print_event(container.id(), "stats", stats_json(stats));
}

Result<std::chrono::milliseconds> read_interval(const Arguments& arguments) {
  const auto interval = TRY_IN(parse_duration(arguments.get("interval", "5s")), "--interval");
  if (interval.count() <= 0) {
    return fail(ErrorCode::kInvalidArgument, "--interval: must be longer than nothing");
  }
  return interval;
}

// The OOM kills since the last call. The count is what tells: v1 signals before it kills, v2 also
// for other reasons.
Result<> print_oom_kills(const Container& container, uint64_t& known) {
  const uint64_t now = container.cgroup()->oom_kills().value_or(known);
  for (; known < now; ++known) TRY(print_event(container.id(), "oom", nullptr));
  return {};
}

// Until the container ends.
Result<> watch(const Container& container, std::chrono::milliseconds interval) {
  const UniqueFd init = TRY(open_pidfd(container.init()));
  const UniqueFd oom = TRY(container.cgroup()->watch_oom());
  uint64_t kills = TRY(container.cgroup()->oom_kills());
  TRY(print_stats(container));
  for (;;) {
    std::array<pollfd, 2> fds{{{.fd = init.get(), .events = POLLIN, .revents = 0},
                               {.fd = oom.get(), .events = POLLIN, .revents = 0}}};
    const int ready = poll(fds.data(), fds.size(), static_cast<int>(interval.count()));
    if (ready < 0 && errno != EINTR) return fail_errno("poll");
    if (fds[1].revents != 0) {
      std::array<char, 4096> ignored{};
      (void)!read(oom.get(), ignored.data(), ignored.size());
    }
    TRY(print_oom_kills(container, kills));
    if (fds[0].revents != 0) return {};
    if (ready == 0) TRY(print_stats(container));
  }
}

}  // namespace

Result<int> command_events(const Globals& globals, const Arguments& arguments) {
  const Container container = TRY(Container::load(globals.root, arguments.operands()[0]));
  const std::chrono::milliseconds interval = TRY(read_interval(arguments));
  if (container.status() == Status::kStopped) {
    return fail(ErrorCode::kWrongState, "container not running: \"{}\"", container.id());
  }
  if (container.cgroup() == nullptr) {
    return fail(ErrorCode::kUnsupported, "container \"{}\" has no cgroup to read", container.id());
  }
  TRY(arguments.has("stats") ? print_stats(container) : watch(container, interval));
  return 0;
}

}  // namespace trivet::oci_cli
