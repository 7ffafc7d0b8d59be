#include "payload/microvm/job.h"

#include <array>

#include "base/json.h"
#include "base/text.h"
#include "guest/protocol.h"

namespace trivet::payload::microvm {

namespace {

// The words for enums; the index is the value.
constexpr auto kModes = std::to_array<std::string_view>({"run", "makeTemplate"});
constexpr auto kNetworkKinds = std::to_array<std::string_view>({"none", "passt", "tap"});

template <typename Enum, size_t Count>
Result<> read_enum(const JsonView& view, std::string_view key,
                   const std::array<std::string_view, Count>& names, Enum& out) {
  std::string name;
  TRY(view.read(key, name));
  if (name.empty()) return {};
  for (size_t i = 0; i < Count; ++i) {
    if (names.at(i) != name) continue;
    out = static_cast<Enum>(i);
    return {};
  }
  return fail(ErrorCode::kInvalidArgument, "{}.{}: \"{}\" is unknown", view.path(), key, name);
}

Json print_machine(const Job& job) {
  Json disks = Json::array();
  for (const Disk& disk : job.disks) {
    disks.push_back({{"fd", disk.fd}, {"readOnly", disk.read_only}});
  }
  const auto kind = static_cast<size_t>(job.network.kind);
  return {{"qemu", job.qemu},
          {"virtiofsd", job.virtiofsd},
          {"kvm", job.kvm},
          {"tscKhz", job.tsc_khz},
          {"vcpus", job.vcpus},
          {"memoryMib", job.memory_mib},
          {"acpi", job.acpi},
          {"disks", std::move(disks)},
          {"share", job.share},
          {"network", {{"kind", kNetworkKinds.at(kind)}, {"fd", job.network.fd}}},
          {"qemuUid", job.qemu_uid}};
}

Result<> read_disks(const JsonView& view, std::vector<Disk>& disks) {
  const auto array = TRY(view.find("disks"));
  if (!array) return {};
  for (const JsonView& entry : TRY(array->elements())) {
    Disk disk;
    TRY(entry.read("fd", disk.fd));
    TRY(entry.read("readOnly", disk.read_only));
    disks.push_back(disk);
  }
  return {};
}

Result<> read_machine(const JsonView& view, Job& job) {
  TRY(view.read("qemu", job.qemu));
  TRY(view.read("virtiofsd", job.virtiofsd));
  TRY(view.read("kvm", job.kvm));
  TRY(view.read("tscKhz", job.tsc_khz));
  TRY(view.read("vcpus", job.vcpus));
  TRY(view.read("memoryMib", job.memory_mib));
  TRY(view.read("acpi", job.acpi));
  TRY(read_disks(view, job.disks));
  TRY(view.read("share", job.share));
  TRY(view.read("qemuUid", job.qemu_uid));
  if (const auto network = TRY(view.find("network"))) {
    TRY(read_enum(*network, "kind", kNetworkKinds, job.network.kind));
    TRY(network->read("fd", job.network.fd));
  }
  return {};
}

Result<> read_saved(const JsonView& view, std::optional<SavedMachine>& saved) {
  const auto found = TRY(view.find("saved"));
  if (!found) return {};
  saved.emplace();
  TRY(found->read("memory", saved->memory));
  TRY(found->read("hasContainer", saved->has_container));
  return found->read("state", saved->state);
}

Result<> read_krun(const JsonView& view, std::optional<KrunMachine>& krun) {
  const auto found = TRY(view.find("krun"));
  if (!found) return {};
  krun.emplace();
  TRY(found->read("program", krun->program));
  return found->read("library", krun->library);
}

Result<Job> parse_run(const JsonView& view) {
  Job job;
  TRY(read_enum(view, "mode", kModes, job.mode));
  TRY(read_machine(view, job));
  TRY(read_krun(view, job.krun));
  TRY(read_saved(view, job.saved));
  std::string create;
  TRY(view.read("create", create));
  if (!create.empty()) job.create = TRY(guest::parse_create(create));
  TRY(view.read("machineId", job.machine_id));
  TRY(view.read("sync", job.sync));
  TRY(view.read("listener", job.listener));
  TRY(view.read("report", job.report));
  TRY(view.read("console", job.console));
  TRY(view.read("terminal", job.terminal));
  TRY(view.read("bootTimeoutMs", job.boot_timeout_ms));
  TRY(view.read("shutdownTimeoutMs", job.shutdown_timeout_ms));
  if (job.mode == Job::Mode::kMakeTemplate && !job.saved) {
    return fail(ErrorCode::kInvalidArgument, "a template is made without a place for it");
  }
  if (job.share && job.saved) {
    return fail(ErrorCode::kInvalidArgument, "a machine with a shared directory has no template");
  }
  if (job.krun && (job.share || job.saved)) {
    return fail(ErrorCode::kInvalidArgument,
                "a machine by libkrun has neither a shared directory nor a template");
  }
  return job;
}

Result<ExecJob> parse_exec_job(const JsonView& view) {
  ExecJob job;
  std::string request;
  std::string connect;
  TRY(view.read("request", request));
  TRY(view.read("connect", connect));
  if (!connect.empty()) {
    job.connect = TRY(guest::parse_connect(connect));
  } else {
    job.request = TRY(guest::parse_exec(request));
  }
  TRY(view.read("sync", job.sync));
  TRY(view.read("terminal", job.terminal));
  return job;
}

Result<MemberJob> parse_member_job(const JsonView& view) {
  MemberJob job;
  uint32_t container = 0;
  TRY(view.read("container", container));
  if (container == 0 || container > guest::kMaxContainers) {
    return fail(ErrorCode::kInvalidArgument, "{}.container: {} is no member's number", view.path(),
                container);
  }
  job.container = static_cast<uint8_t>(container);
  std::string create;
  TRY(view.read("create", create));
  job.create = TRY(guest::parse_create(create));
  TRY(view.read("machine", job.machine));
  TRY(view.read("sync", job.sync));
  TRY(view.read("listener", job.listener));
  TRY(view.read("report", job.report));
  TRY(view.read("terminal", job.terminal));
  TRY(view.read("timeoutMs", job.timeout_ms));
  return job;
}

}  // namespace

std::string new_machine_id() {
  return random_hex(16);
}

std::string print_job(const Job& job) {
  Json json = print_machine(job);
  json["mode"] = kModes.at(static_cast<size_t>(job.mode));
  if (job.saved) {
    json["saved"] = {{"memory", job.saved->memory},
                     {"state", job.saved->state},
                     {"hasContainer", job.saved->has_container}};
  }
  if (job.krun) json["krun"] = {{"program", job.krun->program}, {"library", job.krun->library}};
  const bool creates = job.mode == Job::Mode::kRun || (job.saved && job.saved->has_container);
  if (creates) json["create"] = guest::print(job.create);
  json["machineId"] = job.machine_id;
  json["sync"] = job.sync;
  json["listener"] = job.listener;
  json["report"] = job.report;
  json["console"] = job.console;
  json["terminal"] = job.terminal;
  json["bootTimeoutMs"] = job.boot_timeout_ms;
  json["shutdownTimeoutMs"] = job.shutdown_timeout_ms;
  return Json{{"run", std::move(json)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string print_job(const ExecJob& job) {
  Json json{{"sync", job.sync}, {"terminal", job.terminal}};
  if (job.connect) {
    json["connect"] = guest::print(*job.connect);
  } else {
    json["request"] = guest::print(job.request);
  }
  return Json{{"exec", json}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string print_job(const MemberJob& job) {
  const Json json{{"container", job.container}, {"create", guest::print(job.create)},
                  {"machine", job.machine},     {"sync", job.sync},
                  {"listener", job.listener},   {"report", job.report},
                  {"terminal", job.terminal},   {"timeoutMs", job.timeout_ms}};
  return Json{{"member", json}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<AnyJob> parse_job(std::string_view text) {
  const Json json = TRY(parse_json(text, kJobVariable));
  const JsonView view(json, kJobVariable);
  AnyJob job;
  if (const auto run = TRY(view.find("run"))) {
    job.run = TRY(parse_run(*run));
  } else if (const auto exec = TRY(view.find("exec"))) {
    job.exec = TRY(parse_exec_job(*exec));
  } else if (const auto member = TRY(view.find("member"))) {
    job.member = TRY(parse_member_job(*member));
  } else {
    return fail(ErrorCode::kInvalidArgument, "{}: neither \"run\" nor \"exec\" nor \"member\"",
                kJobVariable);
  }
  return job;
}

}  // namespace trivet::payload::microvm
