// doctor: what this host can do, tried out.
#include <filesystem>
#include <memory>

#include "base/json.h"
#include "base/paths.h"
#include "base/printable.h"
#include "cli/commands_setup.h"
#include "cli/format.h"
#include "cli/session.h"
#include "trivet/config.h"
#include "trivet/doctor.h"
#include "trivet/gpu.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

// A configuration that can't be read is one of the things that a doctor finds.
DoctorCheck check_configuration(std::string& data_dir) {
  DoctorCheck check{.name = "configuration", .purpose = "what is set once", .required = true};
  const auto configuration = Configuration::load();
  if (configuration) {
    const Settings& settings = configuration->settings();
    if (!settings.data_directory.empty()) data_dir = settings.data_directory;
    check.found = fmt::format("{} files", configuration->files().size());
    return check;
  }
  check.state = DoctorCheck::State::kBroken;
  check.cause = configuration.error().message();
  check.fix = configuration.error().hint_text();
  return check;
}

// What `--device VENDOR/CLASS=NAME` can give.
DoctorCheck check_devices() {
  DoctorCheck check{.name = "cdi", .purpose = "GPUs and other devices by name"};
  const CdiInventory found = list_cdi_devices();
  check.found = fmt::format("{} devices", found.devices.size());
  if (!found.broken.empty()) {
    const BrokenCdiFile& file = found.broken.front();
    check.state = DoctorCheck::State::kBroken;
    check.cause = fmt::format("{}: {}", file.path, file.error.message());
    check.fix = "`trivet device ls` says all that is wrong";
  } else if (found.devices.empty()) {
    check.state = DoctorCheck::State::kMissing;
    check.cause = "no CDI file defines a device";
    check.fix = "for NVIDIA: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";
  }
  return check;
}

std::string text_of(const std::vector<DoctorCheck>& checks) {
  std::string text;
  for (const DoctorCheck& check : checks) {
    const bool ok = check.state == DoctorCheck::State::kOk;
    const char* mark = ok ? "" : check.required ? " (needed)" : "";
    text += fmt::format("{:<8} {:<22} {}{}\n", doctor_state_name(check.state), check.name,
                        check.purpose, mark);
    if (!check.found.empty() && ok) text += fmt::format("{:<8}   {}\n", "", printable(check.found));
    if (!check.cause.empty()) text += fmt::format("{:<8}   {}\n", "", printable(check.cause));
    if (!ok && !check.fix.empty())
      text += fmt::format("{:<8}   fix: {}\n", "", printable(check.fix));
  }
  text += can_run_containers(checks) ? "\nThis host can run native containers.\n"
                                     : "\nThis host can't run native containers yet.\n";
  return text;
}

std::string json_of(const std::vector<DoctorCheck>& checks) {
  Object document{{"ok", can_run_containers(checks)}, {"checks", Object::array()}};
  for (const DoctorCheck& check : checks) {
    document["checks"].push_back({{"name", check.name},
                                  {"state", doctor_state_name(check.state)},
                                  {"required", check.required},
                                  {"purpose", check.purpose},
                                  {"found", check.found},
                                  {"cause", check.cause},
                                  {"fix", check.fix}});
  }
  return dump_pretty(document);
}

Result<int> doctor(Session& session, const std::string& format) {
  std::string data_dir = default_data_dir();
  const DoctorCheck configuration = check_configuration(data_dir);
  if (!session.data_dir().empty()) data_dir = session.data_dir();
  std::error_code ignored;
  data_dir = std::filesystem::absolute(data_dir, ignored).string();
  std::vector<DoctorCheck> checks = examine_host({.data_dir = data_dir});
  checks.insert(checks.begin(), configuration);
  checks.push_back(check_devices());
  session.print(format == "json" ? json_of(checks) : text_of(checks));
  return can_run_containers(checks) ? 0 : 1;
}

}  // namespace

Command make_doctor() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.usages = {""};
  add_format_option(command, *format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text or JSON";
  command.description =
      "Tries everything that containers need of this host, and says what is missing or broken, "
      "why, "
      "and what to type. Nothing of it stays. The exit code is 0 when native containers can run.";
  command.example("trivet doctor", "What this host can do")
      .example("trivet doctor --format json", "For programs");
  command.action = [format](Session& session, const Names&) { return doctor(session, *format); };
  return command;
}

}  // namespace trivet::cli
