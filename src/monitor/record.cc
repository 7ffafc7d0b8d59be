#include "monitor/record.h"

#include <array>
#include <fcntl.h>

#include "base/fs.h"
#include "monitor/record_json.h"
#include "payload/choose.h"

namespace trivet::monitor {

namespace {

constexpr std::array kRestartKinds{"no", "on-failure", "always", "unless-stopped"};
constexpr std::array kPhases{"created", "running", "paused", "restarting", "exited"};
constexpr std::array kModes{net::Mode::kPasta, net::Mode::kNone, net::Mode::kHost,
                            net::Mode::kContainer, net::Mode::kPath};

Json record_json(const Record& record) {
  Json json{{"id", record.id},
            {"name", record.name},
            {"image", record.image},
            {"imageId", record.image_id},
            {"command", record.command},
            {"labels", record.labels},
            {"created", format_rfc3339(record.created)},
            {"isolation", record.isolation},
            {"pod", record.pod},
            {"rootfs", record.rootfs},
            {"network", net::mode_name(record.network)},
            {"networkTarget", record.network_target},
            {"ports", ports_to_json(record.ports)},
            {"terminal", record.terminal},
            {"interactive", record.interactive},
            {"init", record.init},
            {"remove", record.remove},
            {"restart", restart_kind_name(record.restart)},
            {"restartRetries", record.restart_retries},
            {"stopSignal", record.stop_signal},
            {"stopTimeoutMs", record.stop_timeout_ms},
            {"logMaxSize", record.log_max_size},
            {"logMaxFiles", record.log_max_files},
            {"anonymousVolumes", record.anonymous_volumes},
            {"options", record.options_json}};
  if (record.timeout_ms) json["timeoutMs"] = *record.timeout_ms;
  if (record.overlay) {
    json["overlay"] = {{"lower", record.overlay->lower_directories},
                       {"upper", record.overlay->upper_directory},
                       {"work", record.overlay->work_directory}};
  }
  return json;
}

Json status_json(const Status& status) {
  Json json{{"phase", phase_name(status.phase)},
            {"monitor", process_to_json(status.monitor)},
            {"init", process_to_json(status.init)},
            {"pasta", process_to_json(status.pasta)},
            {"exitCode", status.exit_code},
            {"oomKilled", status.oom_killed},
            {"error", status.error},
            {"restartCount", status.restart_count},
            {"stoppedByUser", status.stopped_by_user}};
  if (status.started) json["started"] = format_rfc3339(*status.started);
  if (status.finished) json["finished"] = format_rfc3339(*status.finished);
  if (status.vm) {
    json["vm"] = {{"vmm", status.vm->vmm},
                  {"kernel", status.vm->kernel},
                  {"accelerator", status.vm->accelerator},
                  {"vcpus", status.vm->vcpus},
                  {"memoryMib", status.vm->memory_mib},
                  {"fromTemplate", status.vm->from_template},
                  {"bootUs", status.vm->boot_us},
                  {"message", status.vm->message}};
  }
  if (status.wasm) {
    json["wasm"] = {{"codeWasCached", status.wasm->code_was_cached},
                    {"outcome", status.wasm->outcome},
                    {"message", status.wasm->message},
                    {"fuelUsed", status.wasm->fuel_used},
                    {"memoryBytes", status.wasm->memory_bytes}};
  }
  return json;
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
  return member->wrong("a network mode");
}

Result<> read_time(const JsonView& json, std::string_view key, Timestamp& time) {
  std::string text;
  TRY(json.read(key, text));
  if (!text.empty()) time = TRY(parse_timestamp(text));
  return {};
}

Result<> read_time(const JsonView& json, std::string_view key, std::optional<Timestamp>& time) {
  Timestamp value{};
  TRY(read_time(json, key, value));
  if (value != Timestamp{}) time = value;
  return {};
}

Result<> read_overlay(const JsonView& json, std::optional<container::OverlayRoot>& overlay) {
  const auto member = TRY(json.find("overlay"));
  if (!member) return {};
  container::OverlayRoot root;
  TRY(member->read("lower", root.lower_directories));
  TRY(member->read("upper", root.upper_directory));
  TRY(member->read("work", root.work_directory));
  overlay = std::move(root);
  return {};
}

Result<> read_labels(const JsonView& json, std::map<std::string, std::string>& labels) {
  const auto member = TRY(json.find("labels"));
  if (!member) return {};
  for (const auto& [key, value] : TRY(member->members())) labels[key] = TRY(value.as_string());
  return {};
}

Result<> read_image(const JsonView& json, Record& record) {
  TRY(json.read("id", record.id));
  TRY(json.read("name", record.name));
  TRY(json.read("image", record.image));
  TRY(json.read("imageId", record.image_id));
  TRY(json.read("command", record.command));
  TRY(read_labels(json, record.labels));
  TRY(read_time(json, "created", record.created));
  TRY(json.read("isolation", record.isolation));
  TRY(json.read("pod", record.pod));
  TRY(read_overlay(json, record.overlay));
  TRY(json.read("rootfs", record.rootfs));
  TRY(json.read("anonymousVolumes", record.anonymous_volumes));
  return json.read("options", record.options_json);
}

Result<> read_behaviour(const JsonView& json, Record& record) {
  TRY(read_network(json, record.network));
  TRY(json.read("networkTarget", record.network_target));
  TRY(ports_from_json(json, "ports", record.ports));
  TRY(json.read("terminal", record.terminal));
  TRY(json.read("interactive", record.interactive));
  TRY(json.read("init", record.init));
  TRY(json.read("remove", record.remove));
  TRY(read_choice(json, "restart", kRestartKinds, record.restart));
  TRY(json.read("restartRetries", record.restart_retries));
  TRY(json.read("stopSignal", record.stop_signal));
  TRY(json.read("stopTimeoutMs", record.stop_timeout_ms));
  if (const auto timeout = TRY(json.find("timeoutMs"))) record.timeout_ms = TRY(timeout->as_int());
  TRY(json.read("logMaxSize", record.log_max_size));
  return json.read("logMaxFiles", record.log_max_files);
}

Result<> read_vm(const JsonView& json, VmStatus& vm) {
  TRY(json.read("vmm", vm.vmm));
  TRY(json.read("kernel", vm.kernel));
  TRY(json.read("accelerator", vm.accelerator));
  TRY(json.read("vcpus", vm.vcpus));
  TRY(json.read("memoryMib", vm.memory_mib));
  TRY(json.read("fromTemplate", vm.from_template));
  TRY(json.read("bootUs", vm.boot_us));
  return json.read("message", vm.message);
}

Result<Status> read_status_json(const JsonView& json) {
  Status status;
  TRY(read_choice(json, "phase", kPhases, status.phase));
  TRY(process_from_json(json, "monitor", status.monitor));
  TRY(process_from_json(json, "init", status.init));
  TRY(process_from_json(json, "pasta", status.pasta));
  TRY(json.read("exitCode", status.exit_code));
  TRY(json.read("oomKilled", status.oom_killed));
  TRY(json.read("error", status.error));
  TRY(json.read("restartCount", status.restart_count));
  TRY(json.read("stoppedByUser", status.stopped_by_user));
  TRY(read_time(json, "started", status.started));
  TRY(read_time(json, "finished", status.finished));
  if (const auto wasm = TRY(json.find("wasm"))) {
    WasmStatus& read = status.wasm.emplace();
    TRY(wasm->read("codeWasCached", read.code_was_cached));
    TRY(wasm->read("outcome", read.outcome));
    TRY(wasm->read("message", read.message));
    TRY(wasm->read("fuelUsed", read.fuel_used));
    TRY(wasm->read("memoryBytes", read.memory_bytes));
  }
  if (const auto vm = TRY(json.find("vm"))) TRY(read_vm(*vm, status.vm.emplace()));
  return status;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Json process_to_json(const ProcessId& process) {
  return {{"pid", process.pid}, {"startTicks", process.start_ticks}};
}

Result<> process_from_json(const JsonView& json, std::string_view key, ProcessId& process) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  TRY(member->read("pid", process.pid));
  return member->read("startTicks", process.start_ticks);
}

Json ports_to_json(const std::vector<net::PortMapping>& ports) {
  Json list = Json::array();
  for (const net::PortMapping& port : ports) {
    list.push_back({{"hostIp", port.host_ip},
                    {"hostPort", port.host_port},
                    {"containerPort", port.container_port},
                    {"protocol", port.protocol}});
  }
  return list;
}

Result<> ports_from_json(const JsonView& json, std::string_view key,
                         std::vector<net::PortMapping>& ports) {
  const auto member = TRY(json.find(key));
  if (!member) return {};
  for (const JsonView& entry : TRY(member->elements())) {
    net::PortMapping& port = ports.emplace_back();
    TRY(entry.read("hostIp", port.host_ip));
    TRY(entry.read("hostPort", port.host_port));
    TRY(entry.read("containerPort", port.container_port));
    TRY(entry.read("protocol", port.protocol));
  }
  return {};
}

bool is_machine(const Record& record) {
  return record.isolation == payload::isolation_name(payload::Isolation::kMicrovm);
}

const char* restart_kind_name(RestartKind kind) {
  return kRestartKinds.at(static_cast<size_t>(kind));
}

const char* phase_name(Phase phase) {
  return kPhases.at(static_cast<size_t>(phase));
}

Result<> write_record(const Directories& directories, const Record& record) {
  return replace_file(AT_FDCWD, directories.container(record.id) + "/record.json",
                      dump(record_json(record)), 0600);
}

Result<Record> read_record(const Directories& directories, const std::string& id) {
  const std::string path = directories.container(id) + "/record.json";
  const std::string text = TRY(read_file(path));
  const Json json = TRY(parse_json(text, path));
  const JsonView view(json, path);
  Record record;
  TRY(read_image(view, record));
  TRY(read_behaviour(view, record));
  if (record.id != id) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is the record of \"{}\"", path, record.id);
  }
  return record;
}

Result<> write_status(const Directories& directories, const std::string& id, const Status& status) {
  return replace_file(AT_FDCWD, directories.container(id) + "/status.json",
                      dump(status_json(status)), 0600);
}

Result<Status> read_status(const Directories& directories, const std::string& id) {
  const std::string path = directories.container(id) + "/status.json";
  const auto text = read_file(path);
  if (!text && text.error().errnum() == ENOENT) return Status{};
  if (!text) return std::unexpected(text.error());
  const Json json = TRY(parse_json(*text, path));
  return read_status_json(JsonView(json, path));
}

}  // namespace trivet::monitor
