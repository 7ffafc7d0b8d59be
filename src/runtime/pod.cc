// Pods that exist: what they are, and how they end.
#include "runtime/pod.h"

#include <algorithm>
#include <thread>

#include "base/fs.h"
#include "base/json.h"
#include "monitor/control.h"
#include "pod/journal.h"
#include "pod/remove.h"
#include "runtime/observe.h"

namespace trivet {

const char* pod_phase_name(PodPhase phase) {
  return pod::pod_phase_name(static_cast<pod::PodPhase>(phase));
}

}  // namespace trivet

namespace trivet::runtime {

namespace {

constexpr std::chrono::seconds kPatience{10};

pod::PodPaths paths_of(const Home& home, const std::string& id) {
  return {.directories = home.directories, .id = id};
}

bool has_ended(const pod::PodStatus& status) {
  return status.phase == pod::PodPhase::kSucceeded || status.phase == pod::PodPhase::kFailed;
}

// Whoever works on it ends soon: a supervisor that was told to, or a start that fails.
Result<pod::Journal> take_journal(const pod::PodPaths& paths) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    if (!exists(paths.data())) return fail(ErrorCode::kNotFound, "the pod is gone");
    if (auto journal = TRY(pod::Journal::take(paths))) return std::move(*journal);
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorCode::kTimeout, "the pod's monitor does not end");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// The exit code of the first main container that has not ended well.
int exit_code_of(const PodInfo& info) {
  for (const PodContainerInfo& container : info.containers) {
    if (container.role == "main" && container.container.exit_code != 0) {
      return container.container.exit_code;
    }
  }
  return 0;
}

std::vector<PublishedPort> published(const pod::PodRecord& record, const pod::PodStatus& status) {
  std::vector<PublishedPort> list;
  for (const auto* ports : {&record.ports, &status.extension_ports}) {
    for (const net::PortMapping& port : *ports) {
      list.push_back({.host_ip = port.host_ip.empty() ? "0.0.0.0" : port.host_ip,
                      .host_port = port.host_port,
                      .container_port = port.container_port,
                      .protocol = port.protocol});
    }
  }
  return list;
}

Result<PodContainerInfo> describe_member(const Home& home, const pod::PodContainer& planned,
                                         const pod::PodStatus& status) {
  PodContainerInfo info{.name = planned.name, .role = pod::role_name(planned.role)};
  const auto condition =
      std::ranges::find(status.containers, planned.name, &pod::ContainerCondition::name);
  if (condition != status.containers.end()) {
    info.started = condition->started;
    info.ready = condition->ready;
    info.message = condition->message;
  }
  info.container = TRY(describe_container(home, TRY(observe(home, planned.id)), WithSize::kNo));
  return info;
}

struct Found {
  pod::PodRecord record;
  pod::PodStatus status;
};

Result<Found> read_pod(const Home& home, const std::string& id) {
  const pod::PodPaths paths = paths_of(home, id);
  Found found;
  found.record = TRY_IN(pod::read_pod_record(paths), "pod {}", id.substr(0, 12));
  found.status = TRY_IN(pod::read_pod_status(paths), "pod {}", id.substr(0, 12));
  return found;
}

Json time_json(const std::optional<Timestamp>& time) {
  return time ? Json(format_rfc3339(*time)) : Json(nullptr);
}

Json ports_json(const std::vector<PublishedPort>& ports) {
  Json list = Json::array();
  for (const PublishedPort& port : ports) {
    list.push_back({{"HostIp", port.host_ip},
                    {"HostPort", port.host_port},
                    {"ContainerPort", port.container_port},
                    {"Protocol", port.protocol}});
  }
  return list;
}

Json container_json(const PodContainerInfo& info) {
  const ContainerInfo& container = info.container;
  return {{"Name", info.name},
          {"Role", info.role},
          {"Id", container.id},
          {"ContainerName", container.name},
          {"Image", container.image},
          {"ImageId", container.image_id},
          {"Command", container.command},
          {"Isolation", container.isolation},
          {"Status", container_status_name(container.status)},
          {"Pid", container.pid},
          {"Started", info.started},
          {"Ready", info.ready},
          {"Message", info.message},
          {"ExitCode", container.exit_code},
          {"OOMKilled", container.oom_killed},
          {"Error", container.error},
          {"RestartCount", container.restart_count},
          {"StartedAt", time_json(container.started)},
          {"FinishedAt", time_json(container.finished)}};
}

}  // namespace

Result<std::string> find_pod(const Home& home, std::string_view name) {
  const std::string text(name);
  if (text.find('/') == std::string::npos && !text.empty()) {
    if (const auto id = pod::find_pod_name(home.directories, text)) return *id;
  }
  std::vector<std::string> matches;
  for (const std::string& id : TRY(pod::list_pod_ids(home.directories))) {
    if (!text.empty() && id.starts_with(text)) matches.push_back(id);
  }
  if (matches.size() == 1) return matches.front();
  if (matches.size() > 1) {
    return fail(ErrorCode::kInvalidArgument, "several pod ids start with \"{}\"", name);
  }
  return std::unexpected(Error(ErrorCode::kNotFound, fmt::format("there is no pod \"{}\"", name))
                             .hint("`trivet pod ps` lists the pods"));
}

Result<PodInfo> describe_pod(const Home& home, const std::string& id) {
  const auto [record, status] = TRY(read_pod(home, id));
  PodInfo info{.id = record.id,
               .name = record.name,
               .name_space = record.name_space,
               .phase = static_cast<PodPhase>(status.phase),
               .reason = status.reason,
               .message = status.message,
               .isolation = record.isolation,
               .infra_pid = status.infra.pid,
               .monitor_pid = status.supervisor.pid,
               .created = record.created,
               .started = status.started,
               .finished = status.finished,
               .labels = record.labels,
               .annotations = record.annotations,
               .ports = published(record, status),
               .containers = {}};
  for (const pod::PodContainer& container : record.containers) {
    info.containers.push_back(TRY(describe_member(home, container, status)));
  }
  return info;
}

Result<std::vector<PodInfo>> list_pods(const Home& home) {
  TRY_IN(pod::recover_pods(home.directories), "clean up after a pod that was interrupted");
  std::vector<PodInfo> list;
  for (const std::string& id : TRY(pod::list_pod_ids(home.directories))) {
    // One that is being made, or removed, while we look.
    if (auto info = describe_pod(home, id)) list.push_back(std::move(*info));
  }
  std::ranges::sort(list, std::ranges::greater{}, &PodInfo::created);
  return list;
}

Result<std::string> inspect_pod(const Home& home, const std::string& id) {
  const PodInfo info = TRY(describe_pod(home, id));
  const Found found = TRY(read_pod(home, id));
  Json containers = Json::array();
  for (const PodContainerInfo& container : info.containers) {
    containers.push_back(container_json(container));
  }
  const Json json{{"Id", info.id},
                  {"Name", info.name},
                  {"Namespace", info.name_space},
                  {"Phase", pod_phase_name(info.phase)},
                  {"Reason", info.reason},
                  {"Message", info.message},
                  {"Isolation", info.isolation},
                  {"Hostname", found.record.hostname},
                  {"Network", net::mode_name(found.record.network)},
                  {"CgroupParent", found.record.cgroup_parent},
                  {"SharePid", found.record.share_pid},
                  {"InfraPid", info.infra_pid},
                  {"MonitorPid", info.monitor_pid},
                  {"Created", format_rfc3339(info.created)},
                  {"StartedAt", time_json(info.started)},
                  {"FinishedAt", time_json(info.finished)},
                  {"Labels", info.labels},
                  {"Annotations", info.annotations},
                  {"Ports", ports_json(info.ports)},
                  {"Containers", std::move(containers)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> find_pod_container(const Home& home, const std::string& id,
                                       std::string_view container) {
  const pod::PodRecord record = TRY(pod::read_pod_record(paths_of(home, id)));
  std::vector<std::string> names;
  const pod::PodContainer* only_main = nullptr;
  size_t mains = 0;
  for (const pod::PodContainer& member : record.containers) {
    if (member.name == container) return member.id;
    names.push_back(member.name);
    if (member.role != pod::Role::kMain) continue;
    only_main = &member;
    ++mains;
  }
  if (container.empty() && mains == 1) return only_main->id;
  if (container.empty()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("pod \"{}\" has several containers: {}", record.name, join(names, ", ")))
            .hint("choose one with -c NAME"));
  }
  return fail(ErrorCode::kNotFound, "pod \"{}\" has no container \"{}\": it has {}", record.name,
              container, join(names, ", "));
}

Result<> stop_pod(const Home& home, const std::string& id,
                  std::optional<std::chrono::milliseconds> grace) {
  const auto stopped = monitor::request_stop(
      home.directories, id, {.signal = 0, .grace_ms = grace ? grace->count() : -1});
  // It has ended, or ends, by itself.
  if (stopped || stopped.error().code() == ErrorCode::kNotFound) return {};
  return std::unexpected(stopped.error());
}

Result<> delete_pod(const Home& home, const std::string& id, bool force) {
  const pod::PodPaths paths = paths_of(home, id);
  const auto found = read_pod(home, id);
  const bool up = pod::is_held(paths) && !(found && has_ended(found->status));
  if (up && !force) {
    const std::string name = found ? found->record.name : id.substr(0, 12);
    return std::unexpected(
        Error(ErrorCode::kWrongState,
              fmt::format("pod \"{}\" is {}", name,
                          found ? pod::pod_phase_name(found->status.phase) : "being made"))
            .hint(fmt::format("stop it first, or remove it by force: trivet pod rm -f {}", name)));
  }
  if (up) TRY(stop_pod(home, id, std::chrono::milliseconds(0)));
  const auto journal = take_journal(paths);
  // A start that was stopped has removed it.
  if (!journal && journal.error().code() == ErrorCode::kNotFound) return {};
  if (!journal) return std::unexpected(journal.error());
  return pod::remove_pod(paths, *journal);
}

Result<int> wait_pod(const Home& home, const std::string& id,
                     std::optional<std::chrono::milliseconds> timeout) {
  const auto code = monitor::wait_for_exit(home.directories, id, timeout);
  if (code && !*code) {
    return fail(ErrorCode::kTimeout, "pod {} has not ended yet", id.substr(0, 12));
  }
  if (code) return **code;
  // Its monitor has gone: before, or just when it was asked.
  const auto info = describe_pod(home, id);
  const bool ended =
      info && (info->phase == PodPhase::kSucceeded || info->phase == PodPhase::kFailed);
  if (!ended && code.error().code() != ErrorCode::kNotFound) return std::unexpected(code.error());
  if (!info) return std::unexpected(info.error());
  return exit_code_of(*info);
}

}  // namespace trivet::runtime
