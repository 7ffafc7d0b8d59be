#include "trivet/doctor.h"

#include <algorithm>
#include <unistd.h>

#include "doctor/trial.h"

namespace trivet {

const char* doctor_state_name(DoctorCheck::State state) {
  switch (state) {
    case DoctorCheck::State::kMissing:
      return "missing";
    case DoctorCheck::State::kBroken:
      return "broken";
    case DoctorCheck::State::kOk:
      break;
  }
  return "ok";
}

std::vector<DoctorCheck> examine_host(const DoctorOptions& options) {
  using namespace doctor;
  const std::string& data = options.data_dir;
  std::vector<DoctorCheck> checks{
      check_privileges(), check_programs(), check_system_calls(),       check_namespaces(),
      check_cgroups(),    check_seccomp(),  check_data_directory(data), check_overlay(data)};
  // Containers of ordinary users do without limits where their systemd gives no cgroups.
  for (DoctorCheck& check : checks) check.required = check.name != "cgroups" || geteuid() == 0;
  checks.push_back(check_pasta());
  checks.push_back(check_user_namespaces());
  checks.push_back(check_subordinate_ids());
  checks.push_back(check_idmapped_mounts(data));
  checks.push_back(check_lsm());
  checks.push_back(check_systemd());
  checks.push_back(check_criu());
  checks.push_back(check_wasm());
  for (DoctorCheck& check : check_microvm(data)) checks.push_back(std::move(check));
  return checks;
}

bool can_run_containers(const std::vector<DoctorCheck>& checks) {
  return std::ranges::all_of(checks, [](const DoctorCheck& check) {
    return !check.required || check.state == DoctorCheck::State::kOk;
  });
}

}  // namespace trivet
