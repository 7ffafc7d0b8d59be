#include "cli/listing.h"

#include <algorithm>

#include "base/text.h"

namespace trivet::cli {

namespace {

using Moment = std::chrono::system_clock::time_point;

constexpr const char* kFilterHint =
    "filters are id=, name=, status=, label=, ancestor= (an image), exited= (a code) and pod=";

std::string moment_text(const std::optional<Moment>& time) {
  return time ? format_rfc3339(*time) : "";
}

std::string full_or_short(const std::string& id, IdLength length) {
  return length == IdLength::kFull ? id : short_id(id);
}

std::string since(const std::optional<Moment>& time) {
  if (!time) return "";
  const auto age = std::chrono::system_clock::now() - *time;
  return format_age(std::chrono::duration_cast<std::chrono::seconds>(age));
}

Object labels_object(const std::map<std::string, std::string>& labels) {
  Object object = Object::object();
  for (const auto& [key, value] : labels) object[key] = value;
  return object;
}

bool label_matches(const ContainerInfo& info, const std::string& text) {
  const size_t equals = text.find('=');
  const auto found = info.labels.find(text.substr(0, equals));
  if (found == info.labels.end()) return false;
  return equals == std::string::npos || found->second == text.substr(equals + 1);
}

bool image_matches(const ContainerInfo& info, const std::string& text) {
  const NameParts parts = split_image_name(info.image);
  return info.image == text || parts.repository == text || parts.repository.ends_with("/" + text) ||
         info.image.ends_with("/" + text) ||
         (!info.image_id.empty() && short_id(info.image_id) == short_id(text));
}

bool pod_matches(const ContainerInfo& info, const std::string& value, const PodNames& pods) {
  if (info.pod.empty()) return false;
  const auto pod = pods.find(info.pod);
  return info.pod.starts_with(value) || (pod != pods.end() && pod->second == value);
}

bool term_matches(const ContainerInfo& info, const std::string& key, const std::string& value,
                  const PodNames& pods) {
  if (key == "pod") return pod_matches(info, value, pods);
  if (key == "id") return info.id.starts_with(value);
  if (key == "name") return info.name.find(value) != std::string::npos;
  if (key == "status") {
    const std::string_view status = container_status_name(info.status);
    return status == value || (status == "stopped" && value == "exited") ||
           (status == "exited" && value == "stopped");
  }
  if (key == "label") return label_matches(info, value);
  if (key == "ancestor") return image_matches(info, value);
  return info.status == ContainerStatus::kStopped && std::to_string(info.exit_code) == value;
}

}  // namespace

std::string status_text(const ContainerInfo& info) {
  switch (info.status) {
    case ContainerStatus::kCreated:
      return "Created";
    case ContainerStatus::kRunning:
      return "Up " + since(info.started);
    case ContainerStatus::kPaused:
      return "Up " + since(info.started) + " (Paused)";
    case ContainerStatus::kRestarting:
      return fmt::format("Restarting ({}) {}", info.exit_code,
                         info.finished ? ago(*info.finished) : "");
    case ContainerStatus::kBroken:
      return "Broken";
    case ContainerStatus::kStopped:
      break;
  }
  return fmt::format("Exited ({}){}", info.exit_code,
                     info.finished ? " " + ago(*info.finished) : "");
}

std::string ports_text(const std::vector<PublishedPort>& ports) {
  std::vector<std::string> texts;
  for (const PublishedPort& port : ports) {
    const std::string host = port.host_ip.find(':') == std::string::npos
                                 ? port.host_ip
                                 : fmt::format("[{}]", port.host_ip);
    texts.push_back(fmt::format("{}{}{}->{}/{}", host, host.empty() ? "" : ":", port.host_port,
                                port.container_port, port.protocol));
  }
  return join(texts, ", ");
}

Object port_object(const PublishedPort& port) {
  return {{"HostIP", port.host_ip},
          {"HostPort", port.host_port},
          {"ContainerPort", port.container_port},
          {"Protocol", port.protocol}};
}

Object container_object(const ContainerInfo& info) {
  Object object{{"ID", info.id},
                {"Names", info.name},
                {"Image", info.image},
                {"ImageID", info.image_id},
                {"Command", info.command},
                {"Created", format_rfc3339(info.created)},
                {"State", container_status_name(info.status)},
                {"Status", status_text(info)},
                {"Started", moment_text(info.started)},
                {"Finished", moment_text(info.finished)},
                {"ExitCode", info.exit_code},
                {"OOMKilled", info.oom_killed},
                {"Error", info.error},
                {"Pid", info.pid},
                {"RestartCount", info.restart_count},
                {"Isolation", info.isolation},
                {"Pod", info.pod}};
  object["Ports"] = Object::array();
  for (const PublishedPort& port : info.ports) object["Ports"].push_back(port_object(port));
  object["Labels"] = labels_object(info.labels);
  if (info.rw_size) object["Size"] = *info.rw_size;
  return object;
}

NameParts split_image_name(const std::string& name) {
  if (name.empty()) return {"<none>", "<none>"};
  if (const size_t at = name.find('@'); at != std::string::npos) {
    return {name.substr(0, at), name.substr(at + 1)};
  }
  const size_t colon = name.rfind(':');
  // "localhost:5000/x" has a port, not a tag.
  if (colon == std::string::npos || name.find('/', colon) != std::string::npos) {
    return {name, "latest"};
  }
  return {name.substr(0, colon), name.substr(colon + 1)};
}

Object image_object(const ImageInfo& info, const std::string& name) {
  const NameParts parts = split_image_name(name);
  return {{"ID", info.id},
          {"Repository", parts.repository},
          {"Tag", parts.tag},
          {"Digest", info.digest},
          {"Names", info.names},
          {"Created", format_rfc3339(info.created)},
          {"Size", info.size},
          {"Os", info.os},
          {"Architecture", info.architecture},
          {"Labels", labels_object(info.labels)}};
}

Object volume_object(const VolumeInfo& info) {
  return {{"Name", info.name},
          {"Mountpoint", info.path},
          {"Created", format_rfc3339(info.created)},
          {"UsedBy", info.used_by}};
}

Object stats_object(const ContainerStats& stats) {
  return {{"ID", stats.id},
          {"Name", stats.name},
          {"CPUPercent", stats.cpu_percent},
          {"CPUNanoseconds", stats.cpu_usage_ns},
          {"MemoryBytes", stats.memory_usage},
          {"MemoryLimit", stats.memory_limit},
          {"PIDs", stats.pids},
          {"PIDsLimit", stats.pids_limit},
          {"BlockRead", stats.block_read},
          {"BlockWrite", stats.block_write},
          {"NetReceived", stats.net_rx},
          {"NetSent", stats.net_tx}};
}

Listing list_containers(const std::vector<ContainerInfo>& containers,
                        const ContainerColumns& columns, const PodNames& pods) {
  Listing listing;
  listing.headers = {"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"};
  if (columns.pod) listing.headers.emplace_back("POD");
  if (columns.size) listing.headers.emplace_back("SIZE");
  const bool whole = columns.length == IdLength::kFull;
  for (const ContainerInfo& info : containers) {
    const std::string command = quoted_command(info.command);
    std::vector<std::string> row{full_or_short(info.id, columns.length),
                                 info.image,
                                 whole ? command : ellipsis(command, 24),
                                 ago(info.created),
                                 status_text(info),
                                 ports_text(info.ports),
                                 info.name};
    Object object = container_object(info);
    const auto pod = pods.find(info.pod);
    const std::string pod_name = pod == pods.end() ? short_id(info.pod) : pod->second;
    if (columns.pod) {
      row.push_back(pod_name);
      object["PodName"] = pod_name;
    }
    if (columns.size) row.push_back(info.rw_size ? format_size(*info.rw_size) : "");
    listing.add(std::move(row), std::move(object));
  }
  return listing;
}

Listing list_images(const std::vector<ImageInfo>& images, IdLength length, bool with_digests) {
  Listing listing;
  listing.headers = {"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"};
  if (with_digests) listing.headers.insert(listing.headers.begin() + 2, "DIGEST");
  for (const ImageInfo& info : images) {
    const std::vector<std::string> names =
        info.names.empty() ? std::vector<std::string>{""} : info.names;
    for (const std::string& name : names) {
      const NameParts parts = split_image_name(name);
      std::vector<std::string> row{parts.repository, parts.tag, full_or_short(info.id, length),
                                   ago(info.created), format_size(info.size)};
      if (with_digests) row.insert(row.begin() + 2, info.digest);
      listing.add(std::move(row), image_object(info, name));
    }
  }
  return listing;
}

Listing list_volumes(const std::vector<VolumeInfo>& volumes) {
  Listing listing;
  listing.headers = {"VOLUME", "CREATED", "USED BY"};
  for (const VolumeInfo& info : volumes) {
    listing.add({info.name, ago(info.created), join(info.used_by, ", ")}, volume_object(info));
  }
  return listing;
}

Listing list_stats(const std::vector<ContainerStats>& all) {
  Listing listing;
  listing.headers = {"NAME",           "CPU %", "MEMORY / LIMIT", "MEM %", "NET IN / OUT",
                     "BLOCK IN / OUT", "PIDS"};
  for (const ContainerStats& stats : all) {
    const double share = stats.memory_limit == 0 ? 0
                                                 : 100.0 * static_cast<double>(stats.memory_usage) /
                                                       static_cast<double>(stats.memory_limit);
    const std::string pids = stats.pids_limit == 0
                                 ? fmt::format("{}", stats.pids)
                                 : fmt::format("{} / {}", stats.pids, stats.pids_limit);
    listing.add(
        {stats.name.empty() ? short_id(stats.id) : stats.name,
         fmt::format("{:.2f}%", stats.cpu_percent),
         fmt::format("{} / {}", format_size(stats.memory_usage), format_size(stats.memory_limit)),
         fmt::format("{:.2f}%", share),
         fmt::format("{} / {}", format_size(stats.net_rx), format_size(stats.net_tx)),
         fmt::format("{} / {}", format_size(stats.block_read), format_size(stats.block_write)),
         pids},
        stats_object(stats));
  }
  return listing;
}

Result<> ContainerFilter::add(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  const std::vector<std::string> known{"id",       "name",   "status", "label",
                                       "ancestor", "exited", "pod"};
  if (equals == std::string::npos || std::ranges::find(known, key) == known.end()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown filter \"{}\"", text))
            .hint(kFilterHint));
  }
  const std::string value = text.substr(equals + 1);
  const std::vector<std::string> states{"created", "running", "paused",    "stopped",
                                        "exited",  "broken",  "restarting"};
  if (key == "status" && std::ranges::find(states, value) == states.end()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown status \"{}\"", value))
            .hint("it is one of " + join(states, ", ")));
  }
  terms_.emplace_back(key, value);
  return {};
}

bool ContainerFilter::wants_stopped() const {
  return std::ranges::any_of(terms_, [](const auto& term) {
    return (term.first == "status" && term.second != "running") || term.first == "exited";
  });
}

bool ContainerFilter::names_pods() const {
  return std::ranges::any_of(terms_, [](const auto& term) { return term.first == "pod"; });
}

bool ContainerFilter::accepts(const ContainerInfo& info, const PodNames& pods) const {
  return std::ranges::all_of(terms_, [&](const auto& term) {
    // Labels must all be there; of the others one of the same key is enough.
    if (term.first == "label") return term_matches(info, term.first, term.second, pods);
    return std::ranges::any_of(terms_, [&](const auto& other) {
      return other.first == term.first && term_matches(info, other.first, other.second, pods);
    });
  });
}

}  // namespace trivet::cli
