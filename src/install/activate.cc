// Having a daemon read its configuration again.
#include <csignal>
#include <cstdlib>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "install/caller.h"
#include "install/json_edit.h"

namespace trivet {

namespace {

// The unit, where systemd runs it and it reads the file in question.
bool is_active_unit(const std::string& unit, const InstallPlan& plan) {
  if (plan.file.path != install::default_config_file(plan.caller, false)) return false;
  if (!exists("/run/systemd/system")) return false;
  const auto asked = run_program({"systemctl", "is-active", "--quiet", unit});
  return asked && asked->ok();
}

Activation by_systemctl(const char* verb, const char* unit) {
  return {.command = {"systemctl", verb, unit},
          .text = fmt::format("systemctl {} {}", verb, unit),
          .restarts = std::string_view(verb) == "restart"};
}

// Of a daemon's pid file, if that is the daemon still.
int pid_of_daemon(const std::string& pid_file, std::string_view program) {
  const auto text = read_file(pid_file, 64);
  if (!text) return 0;
  const auto pid = parse_int(trim(*text));
  if (!pid || *pid <= 1 || *pid > 1 << 22) return 0;
  const auto name = read_file(fmt::format("/proc/{}/comm", *pid), 64);
  return name && trim(*name) == program ? static_cast<int>(*pid) : 0;
}

// What a file says nothing of stays in a running dockerd as it has once read it.
Activation docker_forgets() {
  return {.text =
              "restart Docker, which keeps the runtimes that it has read until then; that stops "
              "containers, unless its live-restore is on",
          .restarts = true};
}

Result<Activation> activate_docker(const InstallPlan& plan) {
  std::string pid_file = "/var/run/docker.pid";
  const auto document = TRY(install::JsonText::parse(plan.file.after.value_or(""), plan.file.path));
  const bool forgotten = plan.removes && (document.find({"runtimes"}) == nullptr ||
                                          document.find({"default-runtime"}) == nullptr);
  if (const auto* path = document.find({"pidfile"}); path != nullptr && path->is_string()) {
    pid_file = path->get<std::string>();
  }
  const int pid = pid_of_daemon(pid_file, "dockerd");
  if (pid == 0) return Activation{};
  if (forgotten) return docker_forgets();
  if (is_active_unit("docker", plan)) return by_systemctl("reload", "docker");
  return Activation{.pid = pid, .text = fmt::format("kill -HUP {}", pid)};
}

Activation activate_unit(const char* unit, const InstallPlan& plan) {
  if (is_active_unit(unit, plan)) return by_systemctl("restart", unit);
  return {.text = fmt::format("restart {}", unit), .restarts = true};
}

}  // namespace

Result<Activation> find_activation(const InstallPlan& plan) {
  switch (plan.caller) {
    case Caller::kDocker:
      return activate_docker(plan);
    case Caller::kContainerd:
      return activate_unit("containerd", plan);
    case Caller::kCrio:
      return activate_unit("crio", plan);
    case Caller::kPodman:
      break;
  }
  return Activation{};
}

Result<> activate(const Activation& activation) {
  if (activation.pid != 0) {
    return send_signal(TRY(open_pidfd(activation.pid)).get(), SIGHUP);
  }
  if (activation.command.empty()) return {};
  const Output output = TRY(run_program(activation.command));
  if (output.ok()) return {};
  return fail(ErrorCode::kSystem, "{}: exit code {}: {}", activation.text, output.exit_code,
              trim(output.stderr_text));
}

}  // namespace trivet
