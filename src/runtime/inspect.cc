// `trivet inspect`: Docker's document with Docker's names, so that people and scripts find what
// they know, and trivet's own part under "Trivet".
#include "base/fs.h"
#include "base/json.h"
#include "runtime/observe.h"

namespace trivet::runtime {

namespace {

using OrderedJson = nlohmann::ordered_json;

std::string time_text(const std::optional<Timestamp>& time) {
  return time ? format_rfc3339(*time) : "0001-01-01T00:00:00Z";
}

OrderedJson describe_state(const Observed& observed) {
  const monitor::Status& status = observed.status;
  const ContainerStatus state = observed.state;
  const bool runs = observed.init_alive && state != ContainerStatus::kCreated;
  return {{"Status", state == ContainerStatus::kStopped ? "exited" : container_status_name(state)},
          {"Running", runs},
          {"Paused", state == ContainerStatus::kPaused},
          {"Restarting", state == ContainerStatus::kRestarting},
          {"OOMKilled", status.oom_killed},
          {"Dead", state == ContainerStatus::kBroken},
          {"Pid", runs ? status.init.pid : 0},
          {"ExitCode", status.exit_code},
          {"Error", status.error},
          {"StartedAt", time_text(status.started)},
          {"FinishedAt", time_text(status.finished)}};
}

OrderedJson describe_network(const monitor::Record& record) {
  OrderedJson ports = OrderedJson::object();
  for (const net::PortMapping& port : record.ports) {
    ports[fmt::format("{}/{}", port.container_port, port.protocol)].push_back(
        {{"HostIp", port.host_ip.empty() ? "0.0.0.0" : port.host_ip},
         {"HostPort", std::to_string(port.host_port)}});
  }
  return {{"Ports", ports}, {"Mode", net::mode_name(record.network)}};
}

OrderedJson describe_storage(const monitor::Record& record) {
  if (!record.overlay) return {{"Name", "directory"}, {"Data", {{"RootDir", record.rootfs}}}};
  return {{"Name", "overlay"},
          {"Data",
           {{"LowerDir", join(record.overlay->lower_directories, ":")},
            {"UpperDir", record.overlay->upper_directory},
            {"WorkDir", record.overlay->work_directory}}}};
}

OrderedJson describe_wasm(const monitor::WasmStatus& wasm) {
  return {{"CodeWasCached", wasm.code_was_cached},
          {"Outcome", wasm.outcome},
          {"Message", wasm.message},
          {"FuelUsed", wasm.fuel_used},
          {"MemoryBytes", wasm.memory_bytes}};
}

OrderedJson describe_vm(const monitor::VmStatus& vm) {
  return {{"Vmm", vm.vmm},
          {"Kernel", vm.kernel},
          {"Accelerator", vm.accelerator},
          {"VCpus", vm.vcpus},
          {"MemoryMiB", vm.memory_mib},
          {"FromTemplate", vm.from_template},
          {"BootMicroseconds", vm.boot_us},
          {"Message", vm.message}};
}

OrderedJson describe_own(const Home& home, const Observed& observed) {
  const monitor::Record& record = observed.record;
  OrderedJson own = {{"Isolation", record.isolation},
                     {"MonitorPid", observed.monitor_alive ? observed.status.monitor.pid : 0},
                     {"StoppedByUser", observed.status.stopped_by_user},
                     {"Directory", home.directories.container(record.id)},
                     {"RuntimeDirectory", home.directories.runtime(record.id)},
                     {"EngineState", fmt::format("{}/{}", home.directories.engine(), record.id)}};
  if (observed.status.vm) own["MicroVM"] = describe_vm(*observed.status.vm);
  if (observed.status.wasm) own["Wasm"] = describe_wasm(*observed.status.wasm);
  return own;
}

void add_paths(const Home& home, const monitor::Record& record, OrderedJson& document) {
  const std::string directory = home.directories.container(record.id);
  document["ResolvConfPath"] = directory + "/resolv.conf";
  document["HostnamePath"] = directory + "/hostname";
  document["HostsPath"] = directory + "/hosts";
  document["LogPath"] = directory + "/logs";
}

}  // namespace

Result<std::string> inspect_container(const Home& home, const Observed& observed, WithSize size) {
  const monitor::Record& record = observed.record;
  OrderedJson document;
  document["Id"] = record.id;
  document["Name"] = record.name;
  document["Created"] = format_rfc3339(record.created);
  document["Path"] = record.command.empty() ? std::string() : record.command.front();
  document["Args"] = record.command.empty()
                         ? std::vector<std::string>()
                         : std::vector(record.command.begin() + 1, record.command.end());
  document["State"] = describe_state(observed);
  document["Image"] = record.image_id;
  document["ImageName"] = record.image;
  add_paths(home, record, document);
  document["RestartCount"] = observed.status.restart_count;
  document["Platform"] = "linux";
  document["Driver"] = record.overlay ? "overlay" : "directory";
  document["GraphDriver"] = describe_storage(record);
  if (size == WithSize::kYes) {
    const ContainerInfo info = TRY(describe_container(home, observed, size));
    document["SizeRw"] = info.rw_size.value_or(0);
  }
  const auto options = parse_json(record.options_json, "options");
  for (const char* part : {"HostConfig", "Mounts", "Config"}) {
    document[part] = options && options->is_object() && options->contains(part)
                         ? OrderedJson((*options)[part])
                         : OrderedJson::object();
  }
  document["NetworkSettings"] = describe_network(record);
  document["Trivet"] = describe_own(home, observed);
  return document.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace trivet::runtime
