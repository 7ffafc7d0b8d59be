// Programs that are run, and the parts of microVMs.
#include <algorithm>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/text.h"
#include "doctor/trial.h"
#include "linux/systemd_client.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/kvm_probe.h"
#include "payload/microvm/support.h"

namespace trivet::doctor {

namespace {

namespace microvm = payload::microvm;

// The first line that a program prints, which shows that it can run; an error if it does not.
Result<std::string> first_words(const std::vector<std::string>& argv) {
  const Output output = TRY(run_program(argv, {.timeout = std::chrono::seconds(15)}));
  if (output.ok()) return split(output.stdout_text, '\n').front();
  const std::string words(trim(output.stderr_text));
  return fail(ErrorCode::kSystem, "{} ends with code {}{}", argv.front(), output.exit_code,
              words.empty() ? "" : ": " + split(words, '\n').front());
}

void try_program(DoctorCheck& check, const std::vector<std::string>& argv, const std::string& fix) {
  auto words = first_words(argv);
  if (words) {
    check.found = std::move(*words);
  } else if (words.error().code() == ErrorCode::kCommandNotFound) {
    set_missing(check, fmt::format("{} is not installed", argv.front()), fix);
  } else {
    set_broken(check, words.error().message(), fix);
  }
}

void check_kvm(DoctorCheck& check) {
  using State = microvm::KvmProbe::State;
  const microvm::KvmProbe probe = microvm::probe_kvm();
  check.found = probe.usable() ? "runs 64-bit code of a guest" : "";
  if (probe.usable()) return;
  (probe.state == State::kMissing ? set_missing : set_broken)(
      check, probe.reason + "; microVMs are emulated in software, which is slow", probe.hint);
}

const char* purpose_of_part(std::string_view name) {
  if (name == "kvm") return "microVMs at the speed of the processor";
  if (name == "qemu") return "the machine of a microVM";
  if (name == "libkrun") return "the machine of a microVM with --vmm libkrun";
  if (name == "kernel") return "the kernel inside microVMs";
  if (name == "virtiofsd") return "volumes in microVMs";
  if (name == "passt") return "the network of microVMs";
  return "microVMs";
}

DoctorCheck check_part(const microvm::Part& part) {
  DoctorCheck check = make_check("microvm-" + part.name, purpose_of_part(part.name));
  if (part.name == "kvm") {
    check_kvm(check);
  } else if (!part.available) {
    set_missing(check, part.reason, part.hint);
  } else if (part.name == "qemu" || part.name == "passt") {
    try_program(check, {part.found, "--version"},
                "reinstall it: apt install --reinstall " +
                    (part.name == "qemu" ? std::string("qemu-system-x86") : part.name));
  } else {
    check.found = part.found;
  }
  return check;
}

}  // namespace

std::vector<DoctorCheck> check_microvm(const std::string& data_dir) {
  std::vector<DoctorCheck> checks;
  const auto support =
      microvm::microvm_support(microvm::vm_directory(data_dir), microvm::Depth::kPresence);
  for (const microvm::Part& part : support.parts) checks.push_back(check_part(part));
  return checks;
}

DoctorCheck check_programs() {
  DoctorCheck check = make_check("programs", "trivet's own: each container has a monitor");
  std::vector<std::string> names{"trivet-monitor", "trivet-init"};
  if (geteuid() != 0) names.emplace_back("trivet-keeper");  // of the user's namespace
  for (const std::string& name : names) {
    const std::string path = find_companion(name);
    if (path.empty()) {
      set_missing(check, fmt::format("{} is neither beside trivet nor in libexec/trivet", name),
                  "install trivet again: scripts/install");
      return check;
    }
    check.found = path.substr(0, path.rfind('/'));
  }
  return check;
}

DoctorCheck check_pasta() {
  DoctorCheck check =
      make_check("pasta", "the network of containers: outbound, and published ports");
  try_program(check, {"pasta", "--version"}, "apt install passt");
  if (check.state == DoctorCheck::State::kOk && access("/dev/net/tun", R_OK | W_OK) != 0) {
    const int errnum = errno;
    set_broken(check, fmt::format("open \"/dev/net/tun\": {}", errno_words(errnum)),
               errnum == EACCES ? "as root: chmod 666 /dev/net/tun" : "modprobe tun");
  }
  return check;
}

DoctorCheck check_wasm() {
  DoctorCheck check = make_check("wasm", "WebAssembly modules");
  const std::string path = find_companion("trivet-wasm");
  if (path.empty()) {
    set_missing(check, "trivet-wasm is neither beside trivet nor in libexec/trivet",
                "install trivet again: scripts/install");
  } else {
    try_program(check, {path, "--version"}, "install trivet again: scripts/install");
  }
  return check;
}

DoctorCheck check_criu() {
  DoctorCheck check = make_check("criu", "trivet-oci checkpoint and restore");
  try_program(check, {"criu", "--version"},
              "apt install criu (Debian 12: from bookworm-backports)");
  if (check.state != DoctorCheck::State::kOk) return check;
  if (const auto checked = first_words({"criu", "check"}); !checked) {
    set_broken(check, checked.error().message(),
               "run criu check, which says what the kernel lacks");
  }
  return check;
}

DoctorCheck check_systemd() {
  DoctorCheck check = make_check("systemd", "cgroups that systemd makes: --systemd-cgroup");
  const auto manager = systemd::choose_manager();
  check.found =
      manager == systemd::Manager::kSystem ? "the system's manager" : "the user's manager";
  if (const auto root = systemd::find_root(manager); !root) {
    check.found.clear();
    set_missing(check, root.error().message(),
                manager == systemd::Manager::kSystem ? "only where systemd is PID 1"
                                                     : "loginctl enable-linger");
  }
  return check;
}

DoctorCheck check_lsm() {
  DoctorCheck check = make_check("lsm", "AppArmor or SELinux around containers");
  const std::string enforce = read_file("/sys/fs/selinux/enforce", 16).value_or("");
  if (!enforce.empty()) {
    check.found = trim(enforce) == "1" ? "SELinux, enforcing" : "SELinux, permissive";
  } else if (exists("/sys/kernel/security/apparmor/profiles")) {
    check.found = "AppArmor";
  } else {
    set_missing(check, "the kernel runs neither", "boot with apparmor=1 security=apparmor");
  }
  return check;
}

}  // namespace trivet::doctor
