// Pods as rows for people and objects for programs.
#include <algorithm>

#include "base/text.h"
#include "cli/listing.h"

namespace trivet::cli {

namespace {

using Moment = std::chrono::system_clock::time_point;

constexpr const char* kFilterHint = "filters are id=, name=, status= and label=";

Object moment(const std::optional<Moment>& time) {
  return time ? Object(format_rfc3339(*time)) : Object(nullptr);
}

Object map_object(const std::map<std::string, std::string>& entries) {
  Object object = Object::object();
  for (const auto& [key, value] : entries) object[key] = value;
  return object;
}

Object member_object(const PodContainerInfo& info) {
  return {{"Name", info.name},
          {"Role", info.role},
          {"Started", info.started},
          {"Ready", info.ready},
          {"Message", info.message},
          {"ID", info.container.id},
          {"ContainerName", info.container.name},
          {"Image", info.container.image},
          {"Isolation", info.container.isolation},
          {"State", container_status_name(info.container.status)},
          {"Status", status_text(info.container)},
          {"ExitCode", info.container.exit_code},
          {"RestartCount", info.container.restart_count},
          {"Pid", info.container.pid}};
}

// "Running", "Failed (DeadlineExceeded)".
std::string phase_text(const PodInfo& info) {
  std::string text = pod_phase_name(info.phase);
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') {
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  }
  if (!info.reason.empty()) text += fmt::format(" ({})", info.reason);
  return text;
}

// "2/3": how many of those that are to run are ready.
std::string ready_text(const PodInfo& info) {
  const auto stays = [](const PodContainerInfo& member) { return member.role != "init"; };
  const auto ready = [&](const PodContainerInfo& member) { return stays(member) && member.ready; };
  return fmt::format("{}/{}", std::ranges::count_if(info.containers, ready),
                     std::ranges::count_if(info.containers, stays));
}

int restarts_of(const PodInfo& info) {
  int all = 0;
  for (const PodContainerInfo& member : info.containers) all += member.container.restart_count;
  return all;
}

bool label_matches(const PodInfo& info, const std::string& text) {
  const size_t equals = text.find('=');
  const auto found = info.labels.find(text.substr(0, equals));
  if (found == info.labels.end()) return false;
  return equals == std::string::npos || found->second == text.substr(equals + 1);
}

bool term_matches(const PodInfo& info, const std::string& key, const std::string& value) {
  if (key == "id") return info.id.starts_with(value);
  if (key == "name") return info.name.find(value) != std::string::npos;
  if (key == "status") return pod_phase_name(info.phase) == value;
  return label_matches(info, value);
}

}  // namespace

Object pod_object(const PodInfo& info) {
  Object object{{"Id", info.id},
                {"Name", info.name},
                {"Namespace", info.name_space},
                {"Phase", pod_phase_name(info.phase)},
                {"Reason", info.reason},
                {"Message", info.message},
                {"Isolation", info.isolation},
                {"Created", format_rfc3339(info.created)},
                {"StartedAt", moment(info.started)},
                {"FinishedAt", moment(info.finished)},
                {"InfraPid", info.infra_pid},
                {"MonitorPid", info.monitor_pid},
                {"Labels", map_object(info.labels)},
                {"Annotations", map_object(info.annotations)}};
  object["Ports"] = Object::array();
  for (const PublishedPort& port : info.ports) object["Ports"].push_back(port_object(port));
  object["Containers"] = Object::array();
  for (const PodContainerInfo& member : info.containers) {
    object["Containers"].push_back(member_object(member));
  }
  return object;
}

Listing list_pods(const std::vector<PodInfo>& pods, IdLength length) {
  Listing listing;
  listing.headers = {"POD ID", "NAME", "STATUS", "READY", "RESTARTS", "CREATED", "PORTS"};
  for (const PodInfo& info : pods) {
    listing.add({length == IdLength::kFull ? info.id : short_id(info.id), info.name,
                 phase_text(info), ready_text(info), fmt::format("{}", restarts_of(info)),
                 ago(info.created), ports_text(info.ports)},
                pod_object(info));
  }
  return listing;
}

Result<> PodFilter::add(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  const std::vector<std::string> known{"id", "name", "status", "label"};
  if (equals == std::string::npos || std::ranges::find(known, key) == known.end()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown filter \"{}\"", text))
            .hint(kFilterHint));
  }
  const std::string value = text.substr(equals + 1);
  const std::vector<std::string> phases{"preparing", "starting",  "running",
                                        "stopping",  "succeeded", "failed"};
  if (key == "status" && std::ranges::find(phases, value) == phases.end()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown status \"{}\"", value))
            .hint("it is one of " + join(phases, ", ")));
  }
  terms_.emplace_back(key, value);
  return {};
}

bool PodFilter::accepts(const PodInfo& info) const {
  return std::ranges::all_of(terms_, [&](const auto& term) {
    // Labels must all be there; of the others one of the same key is enough.
    if (term.first == "label") return term_matches(info, term.first, term.second);
    return std::ranges::any_of(terms_, [&](const auto& other) {
      return other.first == term.first && term_matches(info, other.first, other.second);
    });
  });
}

}  // namespace trivet::cli
