// seccomp, hidden paths, labels and no_new_privileges of a container.
#include <algorithm>
#include <array>

#include "linux/seccomp.h"
#include "payload/choose.h"
#include "payload/wasm/seccomp.h"
#include "runtime/plan.h"

namespace trivet::runtime {

namespace {

// Docker's lists.
const std::vector<std::string>& default_masked_paths() {
  static const std::vector<std::string> kPaths = {
      "/proc/acpi",       "/proc/asound",      "/proc/interrupts",
      "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
      "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
      "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
  return kPaths;
}

const std::vector<std::string>& default_readonly_paths() {
  static const std::vector<std::string> kPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                  "/proc/sysrq-trigger"};
  return kPaths;
}

struct SecurityOptions {
  bool no_new_privileges = false;
  std::string seccomp;   // empty: the default profile; "unconfined"; a file
  std::string apparmor;  // empty: the default
  bool unmask_all = false;
  std::vector<std::string> mask;
  std::vector<std::string> unmask;
};

Result<> read_flag(const std::string& text, std::string_view value, bool& out) {
  if (value == "true" || value == "1" || value.empty()) return out = true, Result<>();
  if (value == "false" || value == "0") return out = false, Result<>();
  return fail(ErrorCode::kInvalidArgument, "--security-opt {}: expected true or false", text);
}

Result<> read_paths(const std::string& text, std::string_view value,
                    std::vector<std::string>& out) {
  for (const std::string& path : split(value, ':')) {
    out.push_back(TRY_IN(normal_path(path), "--security-opt {}", text));
  }
  return {};
}

Result<> read_label(const PlanInput& input, const std::string& text, std::string_view value) {
  if (value == "disable" || value == "nested") return {};
  if (!input.host.selinux) {
    return fail(ErrorCode::kUnsupported, "--security-opt {}: this host has no SELinux", text);
  }
  return fail(ErrorCode::kUnsupported, "--security-opt {}: SELinux labels are not supported yet",
              text);
}

std::unexpected<Error> unknown_option(const std::string& text) {
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("--security-opt {}: unknown option", text))
          .hint("known are no-new-privileges, seccomp=unconfined|FILE, apparmor=PROFILE, "
                "label=…, mask=PATH:…, unmask=ALL|PATH:…, systempaths=unconfined"));
}

Result<> read_security_option(const PlanInput& input, const std::string& text,
                              SecurityOptions& out) {
  // Docker's old spelling has ':' where the new one has '='.
  const size_t separator = text.find_first_of("=:");
  const std::string_view key = std::string_view(text).substr(0, separator);
  const std::string_view value = separator == std::string::npos
                                     ? std::string_view()
                                     : std::string_view(text).substr(separator + 1);
  if (key == "no-new-privileges") return read_flag(text, value, out.no_new_privileges);
  if (value.empty()) return unknown_option(text);
  if (key == "label") return read_label(input, text, value);
  if (key == "mask") return read_paths(text, value, out.mask);
  if (key == "unmask" && value != "ALL") return read_paths(text, value, out.unmask);
  if (key == "seccomp") {
    out.seccomp = value == "builtin" || value == "default" ? std::string_view() : value;
  } else if (key == "apparmor") {
    out.apparmor = value;
  } else if (key == "unmask" || (key == "systempaths" && value == "unconfined")) {
    out.unmask_all = true;
  } else {
    return unknown_option(text);
  }
  return {};
}

Result<> plan_seccomp(const PlanInput& input, const SecurityOptions& wanted,
                      const std::vector<std::string>& capabilities, oci::Linux& target) {
  if (wanted.seccomp == "unconfined") return {};
  if (wanted.seccomp.empty()) {
    if (input.options.privileged) return {};
    if (input.options.isolation == payload::isolation_name(payload::Isolation::kWasm)) {
      target.seccomp = payload::wasm::default_seccomp();
      return {};
    }
    target.seccomp = TRY_IN(seccomp::default_profile(capabilities), "default seccomp profile");
    return {};
  }
  const std::string text = TRY_IN(input.host.read_file(wanted.seccomp), "seccomp profile");
  target.seccomp =
      TRY_IN(seccomp::parse_profile(text, capabilities), "seccomp profile \"{}\"", wanted.seccomp);
  return {};
}

Result<> plan_apparmor(const PlanInput& input, const SecurityOptions& wanted,
                       oci::Process& process) {
  if (wanted.apparmor.empty() || wanted.apparmor == "unconfined") return {};
  if (!input.host.apparmor) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported,
              fmt::format("--security-opt apparmor={}: this host has no AppArmor", wanted.apparmor))
            .hint("leave it out, or say apparmor=unconfined"));
  }
  process.apparmor_profile = wanted.apparmor;
  return {};
}

void plan_paths(const PlanInput& input, const SecurityOptions& wanted, oci::Linux& target) {
  if (!input.options.privileged && !wanted.unmask_all) {
    target.masked_paths = default_masked_paths();
    target.masked_paths.insert(target.masked_paths.end(), input.host.masked_extra.begin(),
                               input.host.masked_extra.end());
    target.readonly_paths = default_readonly_paths();
  }
  const auto unmasked = [&](const std::string& path) {
    return std::ranges::find(wanted.unmask, path) != wanted.unmask.end();
  };
  std::erase_if(target.masked_paths, unmasked);
  std::erase_if(target.readonly_paths, unmasked);
  for (const std::string& path : wanted.mask) {
    if (std::ranges::find(target.masked_paths, path) == target.masked_paths.end()) {
      target.masked_paths.push_back(path);
    }
  }
}

}  // namespace

Result<> plan_security(const PlanInput& input, oci::Process& process, oci::Linux& target) {
  SecurityOptions wanted;
  for (const std::string& text : input.options.security_opt) {
    TRY(read_security_option(input, text, wanted));
  }
  process.no_new_privileges = wanted.no_new_privileges;
  TRY(plan_apparmor(input, wanted, process));
  plan_paths(input, wanted, target);
  return plan_seccomp(input, wanted, process.capabilities->bounding, target);
}

}  // namespace trivet::runtime
