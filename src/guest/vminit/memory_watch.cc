#include "guest/vminit/memory_watch.h"

#include <algorithm>
#include <csignal>

#include "base/fs.h"
#include "base/text.h"
#include "guest/vminit/console.h"

namespace trivet::guest {

namespace {

using std::chrono::milliseconds;

// Thrashing takes more than that; it is no sign of it yet.
constexpr milliseconds kStall{50};
constexpr milliseconds kStallWindow{1000};
constexpr milliseconds kPause{1000};
// After the last stall.
constexpr int kLooks = 5;

Result<MemoryUse> read_use(const cgroup::Cgroup& cgroup) {
  const cgroup::Stats stats = TRY(cgroup.stats());
  const auto detail = [&](const char* name) {
    const auto found = stats.memory_details.find(name);
    return found == stats.memory_details.end() ? 0 : found->second;
  };
  const uint64_t files = detail("file");
  return MemoryUse{.used = stats.memory_usage,
                   .cache = files - std::min(files, detail("shmem")),
                   .refaults = detail("workingset_refault_file"),
                   .major_faults = detail("pgmajfault"),
                   .user_ns = stats.cpu_user_ns,
                   .system_ns = stats.cpu_system_ns};
}

// Pages of memory (proc(5): statm); 0 when it is gone.
int64_t resident_pages(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/statm", pid), 256);
  if (!text) return 0;
  const std::vector<std::string> fields = split(trim(*text), ' ');
  return fields.size() > 1 ? parse_int(fields[1]).value_or(0) : 0;
}

Result<> kill_largest(const cgroup::Cgroup& cgroup) {
  const std::vector<pid_t> pids = TRY(cgroup.processes());
  const auto largest = std::ranges::max_element(pids, {}, resident_pages);
  if (largest != pids.end()) (void)::kill(*largest, SIGKILL);
  return {};
}

}  // namespace

MemoryWatch::~MemoryWatch() {
  close();
}

Result<> MemoryWatch::open() {
  stalls_ = TRY(cgroup_.watch_memory_stalls(kStall, kStallWindow));
  return loop_.watch(stalls_.get(), EPOLLPRI, [this](uint32_t events) { stalled(events); });
}

void MemoryWatch::stalled(uint32_t events) {
  if ((events & EPOLLERR) != 0) return close();  // the cgroup has gone
  const bool looking = looks_left_ > 0;
  looks_left_ = kLooks;
  if (!looking) look();
}

void MemoryWatch::look() {
  const auto use = read_use(cgroup_);
  if (!use) {
    looks_left_ = 0;
    return say(use.error().message());
  }
  if (detector_.look(*use)) {
    if (auto killed = have_one_killed(); !killed) say(killed.error().message());
  }
  if (--looks_left_ > 0) loop_.set_timer(timer(), kPause, [this] { look(); });
}

// Of a machine's own container the kernel chooses the largest program, kills and counts as it does
// by itself. All that it may choose is the container's, but for processes of `cp`, which have
// excluded themselves. Of several containers it might choose another's.
Result<> MemoryWatch::have_one_killed() {
  if (number_ == 0) return write_existing(AT_FDCWD, "/proc/sysrq-trigger", "f");
  ++kills_;
  return kill_largest(cgroup_);
}

void MemoryWatch::close() {
  if (!stalls_) return;
  loop_.forget(stalls_.get());
  loop_.clear_timer(timer());
  stalls_.reset();
}

}  // namespace trivet::guest
