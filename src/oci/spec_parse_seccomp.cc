// "linux.seccomp" (runtime-spec config-linux.md, Seccomp).

#include "oci/spec_names.h"
#include "oci/spec_parse.h"

namespace trivet::oci {

namespace {

constexpr uint32_t kMaxArgIndex = 5;
constexpr std::string_view kNotify = "SCMP_ACT_NOTIFY";

// errnoRet belongs to two actions: an errno (the kernel's MAX_ERRNO), or the 16 bits for a tracer.
Result<> check_errno(const Field& field, std::string_view action, std::optional<uint32_t> value) {
  if (!value) return {};
  if (action != "SCMP_ACT_ERRNO" && action != "SCMP_ACT_TRACE") {
    return field.invalid("action {} has no error number", action);
  }
  const uint32_t highest = action == "SCMP_ACT_ERRNO" ? 4095 : 65535;
  if (*value > highest) return field.invalid("{} is out of range: 0 to {}", *value, highest);
  return {};
}

Result<SeccompArg> read_arg(const Field& field) {
  SeccompArg arg;
  TRY(field.read_required("index", arg.index));
  if (arg.index > kMaxArgIndex) {
    return field.at("index").invalid("{} is out of range: 0 to {}", arg.index, kMaxArgIndex);
  }
  TRY(field.read_required("value", arg.value));
  TRY(field.read("valueTwo", arg.value_two));
  TRY(field.read_required("op", arg.op));
  TRY(check_known(field.at("op"), arg.op, known_seccomp_operators()));
  return arg;
}

Result<SeccompRule> read_rule(const Field& field) {
  SeccompRule rule;
  TRY(field.read("names", rule.names));
  if (rule.names.empty()) return field.at("names").invalid("must not be empty");
  TRY(field.read_required("action", rule.action));
  TRY(check_known(field.at("action"), rule.action, known_seccomp_actions()));
  TRY(field.read("errnoRet", rule.errno_ret));
  TRY(check_errno(field.at("errnoRet"), rule.action, rule.errno_ret));
  TRY(field.read("args", rule.args, read_arg));
  return rule;
}

// The whole of a container's beginning would wait for a listener that nobody has yet.
Result<> check_notify(const Field& field, const Seccomp& seccomp) {
  if (seccomp.default_action == kNotify) {
    return field.at("defaultAction").invalid("{} can't be the default action", kNotify);
  }
  for (const SeccompRule& rule : seccomp.syscalls) {
    if (rule.action != kNotify) continue;
    if (seccomp.listener_path.empty()) {
      return field.at("listenerPath").invalid("missing, but a rule has action {}", kNotify);
    }
  }
  return {};
}

Result<> read_listener(const Field& field, Seccomp& seccomp) {
  TRY(field.read("listenerPath", seccomp.listener_path));
  if (!seccomp.listener_path.empty()) {
    TRY(check_absolute(field.at("listenerPath"), seccomp.listener_path));
  }
  TRY(field.read("listenerMetadata", seccomp.listener_metadata));
  if (!seccomp.listener_metadata.empty() && seccomp.listener_path.empty()) {
    return field.at("listenerMetadata").invalid("given without listenerPath");
  }
  return {};
}

}  // namespace

Result<Seccomp> read_seccomp(const Field& field) {
  Seccomp seccomp;
  TRY(field.read_required("defaultAction", seccomp.default_action));
  TRY(check_known(field.at("defaultAction"), seccomp.default_action, known_seccomp_actions()));
  TRY(field.read("defaultErrnoRet", seccomp.default_errno_ret));
  TRY(check_errno(field.at("defaultErrnoRet"), seccomp.default_action, seccomp.default_errno_ret));
  TRY(field.read("architectures", seccomp.architectures));
  for (const std::string& name : seccomp.architectures) {
    TRY(check_known(field.at("architectures"), name, known_seccomp_architectures()));
  }
  TRY(field.read("flags", seccomp.flags));
  for (const std::string& flag : seccomp.flags) {
    TRY(check_known(field.at("flags"), flag, known_seccomp_flags()));
  }
  TRY(read_listener(field, seccomp));
  TRY(field.read("syscalls", seccomp.syscalls, read_rule));
  TRY(check_notify(field, seccomp));
  return seccomp;
}

}  // namespace trivet::oci
