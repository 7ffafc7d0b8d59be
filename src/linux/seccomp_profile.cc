// Profile files: Docker's JSON form, whose rules depend on capabilities, architecture and kernel,
// resolved to the plain form of the specification (as moby's daemon does).
#include <algorithm>
#include <charconv>
#include <cstring>
#include <sys/utsname.h>

#include "base/json.h"
#include "base/text.h"
#include "linux/seccomp.h"
#include "linux/seccomp_names.h"

namespace trivet::seccomp {

namespace {

struct KernelVersion {
  int major = 0;
  int minor = 0;
  friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
};

// What rules are resolved for.
struct Host {
  const std::vector<std::string>& capabilities;
  KernelVersion kernel;
};

// When a rule applies: "includes" and "excludes" of Docker's form.
struct Condition {
  std::vector<std::string> capabilities;
  std::vector<std::string> architectures;
  std::optional<KernelVersion> min_kernel;
};

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::ranges::find(list, item) != list.end();
}

// "4.8" or "6.1.0-13-amd64": only the first two numbers count.
std::optional<KernelVersion> parse_version(std::string_view text) {
  KernelVersion version;
  const char* end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, version.major);
  if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
  if (minor.ec != std::errc{}) return std::nullopt;
  return version;
}

Result<KernelVersion> running_kernel() {
  utsname names{};
  if (uname(&names) != 0) return fail_errno("uname");
  const auto version = parse_version(&names.release[0]);
  if (!version) {
    return fail(ErrorCode::kUnsupported, "kernel release \"{}\" has no version", names.release);
  }
  return *version;
}

Result<Condition> parse_condition(const JsonView& rule, std::string_view key) {
  Condition condition;
  const auto object = TRY(rule.find(key));
  if (!object) return condition;
  TRY(object->read("caps", condition.capabilities));
  TRY(object->read("arches", condition.architectures));
  std::string version;
  TRY(object->read("minKernel", version));
  if (!version.empty()) {
    condition.min_kernel = parse_version(version);
    if (!condition.min_kernel) {
      return fail(ErrorCode::kInvalidArgument, "{}.minKernel: \"{}\" is no version", object->path(),
                  version);
    }
  }
  return condition;
}

bool is_included(const Condition& condition, const Host& host) {
  const auto has = [&](const std::string& name) { return contains(host.capabilities, name); };
  return (condition.architectures.empty() ||
          contains(condition.architectures, native_docker_architecture())) &&
         std::ranges::all_of(condition.capabilities, has) &&
         (!condition.min_kernel || host.kernel >= *condition.min_kernel);
}

bool is_excluded(const Condition& condition, const Host& host) {
  const auto has = [&](const std::string& name) { return contains(host.capabilities, name); };
  return contains(condition.architectures, native_docker_architecture()) ||
         std::ranges::any_of(condition.capabilities, has) ||
         (condition.min_kernel && host.kernel >= *condition.min_kernel);
}

// Podman's files give errnos by name too: "errno": "EPERM" beside "errnoRet": 1.
Result<> read_errno(const JsonView& object, std::string_view number_key, std::string_view name_key,
                    std::optional<uint32_t>& out) {
  TRY(object.read(number_key, out));
  std::string name;
  TRY(object.read(name_key, name));
  if (out || name.empty()) return {};
  for (int number = 1; number < 134; ++number) {
    const char* known = strerrorname_np(number);
    if (known != nullptr && name == known) {
      out = static_cast<uint32_t>(number);
      return {};
    }
  }
  return fail(ErrorCode::kInvalidArgument, "{}.{}: unknown errno \"{}\"", object.path(), name_key,
              name);
}

Result<std::vector<oci::SeccompArg>> parse_arguments(const JsonView& rule) {
  std::vector<oci::SeccompArg> arguments;
  const auto list = TRY(rule.find("args"));
  if (!list) return arguments;
  for (const JsonView& element : TRY(list->elements())) {
    oci::SeccompArg& argument = arguments.emplace_back();
    TRY(element.read("index", argument.index));
    TRY(element.read("value", argument.value));
    TRY(element.read("valueTwo", argument.value_two));
    TRY(element.read("op", argument.op));
  }
  return arguments;
}

Result<std::vector<std::string>> parse_names(const JsonView& rule) {
  std::vector<std::string> names;
  TRY(rule.read("names", names));
  std::string name;  // the form of Docker before 1.13
  TRY(rule.read("name", name));
  if (!name.empty() && !names.empty()) {
    return fail(ErrorCode::kInvalidArgument, "{}: both \"name\" and \"names\" are given",
                rule.path());
  }
  if (!name.empty()) names.push_back(name);
  if (names.empty()) {
    return fail(ErrorCode::kInvalidArgument, "{}: no system call is named", rule.path());
  }
  return names;
}

Result<> parse_rules(const JsonView& document, const Host& host, oci::Seccomp& profile) {
  const auto list = TRY(document.find("syscalls"));
  if (!list) return {};
  for (const JsonView& element : TRY(list->elements())) {
    const Condition includes = TRY(parse_condition(element, "includes"));
    const Condition excludes = TRY(parse_condition(element, "excludes"));
    oci::SeccompRule rule;
    rule.names = TRY(parse_names(element));
    TRY(element.read("action", rule.action));
    TRY(read_errno(element, "errnoRet", "errno", rule.errno_ret));
    rule.args = TRY(parse_arguments(element));
    if (is_excluded(excludes, host) || !is_included(includes, host)) continue;
    profile.syscalls.push_back(std::move(rule));
  }
  return {};
}

// archMap names the sub-architectures that go with each native one.
Result<> parse_architectures(const JsonView& document, oci::Seccomp& profile) {
  TRY(document.read("architectures", profile.architectures));
  const auto map = TRY(document.find("archMap"));
  if (!map) return {};
  if (!profile.architectures.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "seccomp profile: both \"architectures\" and \"archMap\" are given");
  }
  for (const JsonView& entry : TRY(map->elements())) {
    std::string architecture;
    std::vector<std::string> others;
    TRY(entry.read("architecture", architecture));
    TRY(entry.read("subArchitectures", others));
    if (architecture != native_architecture()) continue;
    profile.architectures = std::move(others);
    profile.architectures.insert(profile.architectures.begin(), std::move(architecture));
    return {};
  }
  return {};
}

}  // namespace

Result<oci::Seccomp> parse_profile(std::string_view json,
                                   const std::vector<std::string>& capabilities) {
  const Json parsed = TRY(parse_json(json, "seccomp profile"));
  const JsonView document(parsed, "seccomp profile");
  const Host host {
    capabilities, TRY(running_kernel())
  };
  oci::Seccomp profile;
  TRY(document.read("defaultAction", profile.default_action));
  if (profile.default_action.empty()) {
    return fail(ErrorCode::kInvalidArgument, "seccomp profile: \"defaultAction\" is missing");
  }
  TRY(read_errno(document, "defaultErrnoRet", "defaultErrno", profile.default_errno_ret));
  TRY(document.read("flags", profile.flags));
  TRY(document.read("listenerPath", profile.listener_path));
  TRY(document.read("listenerMetadata", profile.listener_metadata));
  TRY(parse_architectures(document, profile));
  TRY(parse_rules(document, host, profile));
  return profile;
}

Result<oci::Seccomp> default_profile(const std::vector<std::string>& capabilities) {
  return parse_profile(kDefaultProfileJson, capabilities);
}

}  // namespace trivet::seccomp
