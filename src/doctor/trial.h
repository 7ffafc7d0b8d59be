// Trying something that may go wrong in every way, in a child process.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "trivet/doctor.h"

namespace trivet::doctor {

// Runs `trial` in a child, which gives 0 or the errno of what failed. The child is killed after ten
// seconds: ETIMEDOUT. It must not return otherwise, and what it changes about itself is its own.
[[nodiscard]] int errno_of_trial(const std::function<int()>& trial);

// Inside a trial: a user namespace for ordinary users, where they may do the rest; then `flags` of
// unshare(2). 0 or an errno.
[[nodiscard]] int enter_namespaces(int flags);

// "Operation not permitted [EPERM]".
[[nodiscard]] std::string errno_words(int errnum);

// --- the checks, each with its purpose and all that is known
DoctorCheck make_check(std::string name, std::string purpose);
void set_missing(DoctorCheck& check, std::string cause, std::string fix);
void set_broken(DoctorCheck& check, std::string cause, std::string fix);

DoctorCheck check_privileges();
DoctorCheck check_cgroups();
DoctorCheck check_namespaces();
DoctorCheck check_user_namespaces();
DoctorCheck check_subordinate_ids();
DoctorCheck check_seccomp();
DoctorCheck check_system_calls();
DoctorCheck check_data_directory(const std::string& data_dir);
DoctorCheck check_overlay(const std::string& data_dir);
DoctorCheck check_idmapped_mounts(const std::string& data_dir);
DoctorCheck check_programs();
DoctorCheck check_pasta();
DoctorCheck check_wasm();
DoctorCheck check_criu();
DoctorCheck check_systemd();
DoctorCheck check_lsm();
std::vector<DoctorCheck> check_microvm(const std::string& data_dir);

}  // namespace trivet::doctor
