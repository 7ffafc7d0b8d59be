#include "runtime/observe.h"

#include <algorithm>
#include <sys/stat.h>

#include "base/fs.h"
#include "payload/microvm/machine.h"
#include "runtime/names.h"

namespace trivet::runtime {

namespace {

// What the disk of a microVM occupies on the host.
std::optional<uint64_t> size_of_disk(const monitor::Record& record) {
  constexpr uint64_t kBlock = 512;
  struct stat status{};
  const std::string disk = record.overlay->upper_directory + "/../" + payload::microvm::kDiskName;
  if (stat(disk.c_str(), &status) != 0) return std::nullopt;
  return static_cast<uint64_t>(status.st_blocks) * kBlock;
}

std::optional<uint64_t> writable_size(const monitor::Record& record) {
  if (!record.overlay) return std::nullopt;
  if (monitor::is_machine(record)) return size_of_disk(record);
  const auto bytes = disk_usage(AT_FDCWD, record.overlay->upper_directory);
  return bytes ? std::optional(*bytes) : std::nullopt;
}

std::vector<PublishedPort> describe_ports(const std::vector<net::PortMapping>& ports) {
  std::vector<PublishedPort> list;
  for (const net::PortMapping& port : ports) {
    list.push_back({.host_ip = port.host_ip.empty() ? "0.0.0.0" : port.host_ip,
                    .host_port = port.host_port,
                    .container_port = port.container_port,
                    .protocol = port.protocol});
  }
  return list;
}

bool is_up(ContainerStatus state) {
  return state == ContainerStatus::kRunning || state == ContainerStatus::kPaused ||
         state == ContainerStatus::kRestarting || state == ContainerStatus::kBroken;
}

}  // namespace

ContainerStatus judge_state(const monitor::Status& status, bool monitor_alive, bool init_alive) {
  if (!monitor_alive) {
    if (init_alive) return ContainerStatus::kBroken;
    const bool never_ran = status.phase == monitor::Phase::kCreated && !status.started;
    return never_ran ? ContainerStatus::kCreated : ContainerStatus::kStopped;
  }
  switch (status.phase) {
    case monitor::Phase::kCreated:
      return ContainerStatus::kCreated;
    case monitor::Phase::kRunning:
      return ContainerStatus::kRunning;
    case monitor::Phase::kPaused:
      return ContainerStatus::kPaused;
    case monitor::Phase::kRestarting:
      return ContainerStatus::kRestarting;
    case monitor::Phase::kExited:
      return ContainerStatus::kStopped;
  }
  return ContainerStatus::kBroken;
}

Result<Observed> observe(const Home& home, const std::string& id) {
  Observed observed;
  observed.record =
      TRY_IN(monitor::read_record(home.directories, id), "container {}", id.substr(0, 12));
  observed.status =
      TRY_IN(monitor::read_status(home.directories, id), "container {}", id.substr(0, 12));
  observed.monitor_alive = monitor::monitor_alive(home.directories, id);
  // It may have ended between the two looks, and its last status is there before its lock goes.
  const bool was_up = observed.status.phase != monitor::Phase::kCreated &&
                      observed.status.phase != monitor::Phase::kExited;
  if (was_up && !observed.monitor_alive) {
    observed.status = TRY(monitor::read_status(home.directories, id));
  }
  observed.init_alive = observed.status.init.pid > 0 && is_alive(observed.status.init);
  observed.state = judge_state(observed.status, observed.monitor_alive, observed.init_alive);
  return observed;
}

Result<Observed> observe_named(const Home& home, std::string_view name) {
  return observe(home, TRY(find_id(home, name)));
}

// The init of one that waits in a pool is there, but not begun.
Result<> require_running(const Observed& observed) {
  if (observed.init_alive && observed.state != ContainerStatus::kCreated) return {};
  return std::unexpected(
      Error(ErrorCode::kWrongState,
            fmt::format("container \"{}\" is not running: it is {}", observed.record.name,
                        container_status_name(observed.state)))
          .hint(fmt::format("start it: trivet start {}", observed.record.name)));
}

Result<container::Container> load_engine(const Home& home, const Observed& observed) {
  return container::Container::load(home.directories.engine(), observed.record.id);
}

Result<ContainerInfo> describe_container(const Home&, const Observed& observed, WithSize size) {
  const monitor::Record& record = observed.record;
  const monitor::Status& status = observed.status;
  ContainerInfo info;
  info.id = record.id;
  info.name = record.name;
  info.image = record.image;
  info.image_id = record.image_id;
  info.command = record.command;
  info.status = observed.state;
  info.isolation = record.isolation;
  const bool runs = observed.init_alive && observed.state != ContainerStatus::kCreated;
  info.pid = runs ? status.init.pid : 0;
  info.monitor_pid = observed.monitor_alive ? status.monitor.pid : 0;
  info.exit_code = status.exit_code;
  info.oom_killed = status.oom_killed;
  info.error = status.error;
  info.restart_count = status.restart_count;
  info.created = record.created;
  info.started = status.started;
  info.finished = status.finished;
  info.ports = describe_ports(record.ports);
  info.labels = record.labels;
  info.pod = record.pod;
  if (size == WithSize::kYes) info.rw_size = writable_size(record);
  return info;
}

Result<std::vector<ContainerInfo>> list_containers(const Home& home, bool all, WithSize size) {
  std::vector<ContainerInfo> list;
  for (const std::string& id : TRY(list_ids(home))) {
    const auto observed = observe(home, id);
    // Half made, or removed while we looked: prune() takes what stays.
    if (!observed || (!all && !is_up(observed->state))) continue;
    list.push_back(TRY(describe_container(home, *observed, size)));
  }
  std::ranges::sort(list, std::ranges::greater{}, &ContainerInfo::created);
  return list;
}

}  // namespace trivet::runtime
