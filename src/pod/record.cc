#include "pod/record.h"

#include <array>

#include "base/fs.h"
#include "monitor/record_json.h"

namespace trivet::pod {

namespace {

constexpr std::array kRoles{"init", "sidecar", "main"};
constexpr std::array kPhases{"preparing", "starting", "running", "stopping", "succeeded", "failed"};
constexpr std::array kKinds{"exec", "http", "tcp", "grpc", "sleep"};
constexpr std::array kModes{net::Mode::kPasta, net::Mode::kNone, net::Mode::kHost};

// ---------------------------------------------------------------- writing

Json action_json(const Action& action) {
  Json json{{"kind", kKinds.at(static_cast<size_t>(action.kind))}};
  switch (action.kind) {
    case Action::Kind::kExec:
      json["command"] = action.command;
      break;
    case Action::Kind::kHttp:
      json["path"] = action.path;
      json["https"] = action.https;
      json["headers"] = action.headers;
      [[fallthrough]];
    case Action::Kind::kTcp:
      json["host"] = action.host;
      json["port"] = action.port;
      break;
    case Action::Kind::kGrpc:
      json["port"] = action.port;
      json["service"] = action.service;
      break;
    case Action::Kind::kSleep:
      json["sleepMs"] = action.sleep_ms;
      break;
  }
  return json;
}

Json probe_json(const Probe& probe) {
  Json json{{"action", action_json(probe.action)},
            {"initialDelayMs", probe.initial_delay_ms},
            {"periodMs", probe.period_ms},
            {"timeoutMs", probe.timeout_ms},
            {"successThreshold", probe.success_threshold},
            {"failureThreshold", probe.failure_threshold}};
  if (probe.grace_ms) json["graceMs"] = *probe.grace_ms;
  return json;
}

Json container_json(const PodContainer& container) {
  Json json{{"id", container.id}, {"name", container.name}, {"role", role_name(container.role)}};
  if (container.startup) json["startup"] = probe_json(*container.startup);
  if (container.liveness) json["liveness"] = probe_json(*container.liveness);
  if (container.readiness) json["readiness"] = probe_json(*container.readiness);
  if (container.post_start) json["postStart"] = action_json(*container.post_start);
  if (container.pre_stop) json["preStop"] = action_json(*container.pre_stop);
  return json;
}

template <typename T, typename Print>
Json list_json(const std::vector<T>& list, Print print) {
  Json json = Json::array();
  for (const T& element : list) json.push_back(print(element));
  return json;
}

Json record_json(const PodRecord& record) {
  Json json{{"id", record.id},
            {"name", record.name},
            {"namespace", record.name_space},
            {"created", format_rfc3339(record.created)},
            {"labels", record.labels},
            {"annotations", record.annotations},
            {"containers", list_json(record.containers, container_json)},
            {"isolation", record.isolation},
            {"hostname", record.hostname},
            {"sharePid", record.share_pid},
            {"network", net::mode_name(record.network)},
            {"ports", monitor::ports_to_json(record.ports)},
            {"cgroupParent", record.cgroup_parent},
            {"resources", record.resources},
            {"sysctls", record.sysctls},
            {"shmSize", record.shm_size},
            {"graceMs", record.grace_ms},
            {"startTimeoutMs", record.start_timeout_ms}};
  json["memoryVolumes"] = list_json(record.memory_volumes, [](const MemoryVolume& volume) {
    return Json{{"name", volume.name}, {"size", volume.size}};
  });
  json["extensions"] = list_json(record.extensions, [](const Extension& extension) {
    return Json{
        {"name", extension.name}, {"path", extension.path}, {"settings", extension.settings}};
  });
  if (record.deadline_ms) json["deadlineMs"] = *record.deadline_ms;
  return json;
}

Json condition_json(const ContainerCondition& condition) {
  return {{"name", condition.name},
          {"started", condition.started},
          {"ready", condition.ready},
          {"message", condition.message}};
}

Json status_json(const PodStatus& status) {
  Json json{{"phase", pod_phase_name(status.phase)},
            {"supervisor", monitor::process_to_json(status.supervisor)},
            {"infra", monitor::process_to_json(status.infra)},
            {"pasta", monitor::process_to_json(status.pasta)},
            {"reason", status.reason},
            {"message", status.message},
            {"containers", list_json(status.containers, condition_json)},
            {"extensionPorts", monitor::ports_to_json(status.extension_ports)}};
  if (status.started) json["started"] = format_rfc3339(*status.started);
  if (status.finished) json["finished"] = format_rfc3339(*status.finished);
  return json;
}

// ---------------------------------------------------------------- reading

Result<> read_map(const JsonView& json, std::string_view key,
                  std::map<std::string, std::string>& out) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  for (const auto& [name, value] : TRY(member->members())) out[name] = TRY(value.as_string());
  return {};
}

Result<> read_time(const JsonView& json, std::string_view key, std::optional<Timestamp>& time) {
  std::string text;
  TRY(json.read(key, text));
  if (!text.empty()) time = TRY(parse_timestamp(text));
  return {};
}

// The elements of a list, each read by `read`.
template <typename T, typename Read>
Result<> read_list(const JsonView& json, std::string_view key, std::vector<T>& out, Read read) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  for (const JsonView& entry : TRY(member->elements())) TRY(read(entry, out.emplace_back()));
  return {};
}

Result<> read_headers(const JsonView& json, Action& action) {
  const auto headers = TRY(json.find("headers"));
  if (!headers) return {};
  for (const JsonView& entry : TRY(headers->elements())) {
    const auto pair = TRY(entry.elements());
    if (pair.size() != 2) return entry.wrong("a name and a value");
    action.headers.emplace_back(TRY(pair[0].as_string()), TRY(pair[1].as_string()));
  }
  return {};
}

Result<> read_action(const JsonView& json, Action& action) {
  TRY(monitor::read_choice(json, "kind", kKinds, action.kind));
  TRY(json.read("command", action.command));
  TRY(json.read("host", action.host));
  TRY(json.read("port", action.port));
  TRY(json.read("path", action.path));
  TRY(json.read("https", action.https));
  TRY(json.read("service", action.service));
  TRY(json.read("sleepMs", action.sleep_ms));
  return read_headers(json, action);
}

Result<> read_optional_action(const JsonView& json, std::string_view key,
                              std::optional<Action>& out) {
  const auto member = TRY(json.find(key));
  return member ? read_action(*member, out.emplace()) : Result<>();
}

Result<> read_probe(const JsonView& json, std::string_view key, std::optional<Probe>& out) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  Probe& probe = out.emplace();
  if (const auto action = TRY(member->find("action"))) TRY(read_action(*action, probe.action));
  TRY(member->read("initialDelayMs", probe.initial_delay_ms));
  TRY(member->read("periodMs", probe.period_ms));
  TRY(member->read("timeoutMs", probe.timeout_ms));
  TRY(member->read("successThreshold", probe.success_threshold));
  TRY(member->read("failureThreshold", probe.failure_threshold));
  return member->read("graceMs", probe.grace_ms);
}

Result<> read_container(const JsonView& json, PodContainer& container) {
  TRY(json.read("id", container.id));
  TRY(json.read("name", container.name));
  TRY(monitor::read_choice(json, "role", kRoles, container.role));
  TRY(read_probe(json, "startup", container.startup));
  TRY(read_probe(json, "liveness", container.liveness));
  TRY(read_probe(json, "readiness", container.readiness));
  TRY(read_optional_action(json, "postStart", container.post_start));
  return read_optional_action(json, "preStop", container.pre_stop);
}

Result<> read_volume(const JsonView& json, MemoryVolume& volume) {
  TRY(json.read("name", volume.name));
  return json.read("size", volume.size);
}

Result<> read_extension(const JsonView& json, Extension& extension) {
  TRY(json.read("name", extension.name));
  TRY(json.read("path", extension.path));
  return json.read("settings", extension.settings);
}

Result<> read_network(const JsonView& json, net::Mode& mode) {
  const auto member = TRY(json.find("network"));
  if (!member) return {};
  const std::string text = TRY(member->as_string());
  for (const net::Mode known : kModes) {
    if (text != net::mode_name(known)) continue;
    mode = known;
    return {};
  }
  return member->wrong("a network mode of pods");
}

Result<> read_identity(const JsonView& json, PodRecord& record) {
  TRY(json.read("id", record.id));
  TRY(json.read("name", record.name));
  TRY(json.read("namespace", record.name_space));
  std::optional<Timestamp> created;
  TRY(read_time(json, "created", created));
  record.created = created.value_or(Timestamp{});
  TRY(read_map(json, "labels", record.labels));
  return read_map(json, "annotations", record.annotations);
}

Result<> read_shell(const JsonView& json, PodRecord& record) {
  TRY(json.read("isolation", record.isolation));
  TRY(json.read("hostname", record.hostname));
  TRY(json.read("sharePid", record.share_pid));
  TRY(read_network(json, record.network));
  TRY(monitor::ports_from_json(json, "ports", record.ports));
  TRY(json.read("cgroupParent", record.cgroup_parent));
  TRY(json.read("resources", record.resources));
  TRY(read_map(json, "sysctls", record.sysctls));
  TRY(json.read("shmSize", record.shm_size));
  TRY(read_list(json, "memoryVolumes", record.memory_volumes, read_volume));
  TRY(read_list(json, "extensions", record.extensions, read_extension));
  TRY(json.read("graceMs", record.grace_ms));
  TRY(json.read("deadlineMs", record.deadline_ms));
  return json.read("startTimeoutMs", record.start_timeout_ms);
}

Result<> read_condition(const JsonView& json, ContainerCondition& condition) {
  TRY(json.read("name", condition.name));
  TRY(json.read("started", condition.started));
  TRY(json.read("ready", condition.ready));
  return json.read("message", condition.message);
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

const char* role_name(Role role) {
  return kRoles.at(static_cast<size_t>(role));
}

const char* pod_phase_name(PodPhase phase) {
  return kPhases.at(static_cast<size_t>(phase));
}

Result<> write_pod_record(const PodPaths& paths, const PodRecord& record) {
  return replace_file(AT_FDCWD, paths.data() + "/record.json", dump(record_json(record)), 0600);
}

Result<PodRecord> read_pod_record(const PodPaths& paths) {
  const std::string path = paths.data() + "/record.json";
  const Json json = TRY(parse_json(TRY(read_file(path)), path));
  const JsonView view(json, path);
  PodRecord record;
  TRY(read_identity(view, record));
  TRY(read_shell(view, record));
  TRY(read_list(view, "containers", record.containers, read_container));
  if (record.id != paths.id) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is the record of \"{}\"", path, record.id);
  }
  return record;
}

Result<> write_pod_status(const PodPaths& paths, const PodStatus& status) {
  return replace_file(AT_FDCWD, paths.data() + "/status.json", dump(status_json(status)), 0600);
}

Result<PodStatus> read_pod_status(const PodPaths& paths) {
  const std::string path = paths.data() + "/status.json";
  const auto text = read_file(path);
  if (!text && text.error().errnum() == ENOENT) return PodStatus{};
  if (!text) return std::unexpected(text.error());
  const Json json = TRY(parse_json(*text, path));
  const JsonView view(json, path);
  PodStatus status;
  TRY(monitor::read_choice(view, "phase", kPhases, status.phase));
  TRY(monitor::process_from_json(view, "supervisor", status.supervisor));
  TRY(monitor::process_from_json(view, "infra", status.infra));
  TRY(monitor::process_from_json(view, "pasta", status.pasta));
  TRY(view.read("reason", status.reason));
  TRY(view.read("message", status.message));
  TRY(read_list(view, "containers", status.containers, read_condition));
  TRY(monitor::ports_from_json(view, "extensionPorts", status.extension_ports));
  TRY(read_time(view, "started", status.started));
  TRY(read_time(view, "finished", status.finished));
  return status;
}

}  // namespace trivet::pod
