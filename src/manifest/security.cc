// Resources and security contexts.
#include <algorithm>

#include "base/text.h"
#include "linux/capabilities.h"
#include "manifest/fields.h"
#include "manifest/quantity.h"

namespace trivet::manifest {

namespace {

constexpr Range kId{0, INT32_MAX};

struct Amounts {
  std::optional<int64_t> cpu;
  std::optional<int64_t> memory;
  std::optional<int64_t> pids;
  std::map<std::string, int64_t> devices;
};

std::optional<int64_t> quantity(const Value& value, Result<int64_t> (*parse)(std::string_view)) {
  auto amount = parse(value.word());
  if (amount) return *amount;
  // What is no text at all has been reported.
  if (value.node().kind == Node::Kind::kText || value.node().kind == Node::Kind::kNumber) {
    value.wrong(amount.error().message(), amount.error().hint_text());
  }
  return std::nullopt;
}

// "nvidia.com/gpu": what Kubernetes calls an extended resource.
bool is_device_kind(const std::string& name) {
  const size_t slash = name.find('/');
  return slash != std::string::npos && !name.starts_with("kubernetes.io/") &&
         !name.substr(0, slash).ends_with(".kubernetes.io");
}

// As the API server has it, a number may be in quotes.
int64_t device_count(const Value& value) {
  constexpr int64_t kMost = 1024;
  const auto count = parse_int(value.word());
  if (count && *count >= 0 && *count <= kMost) return *count;
  value.wrong(fmt::format("\"{}\": it is a number of devices, up to {}", value.word(), kMost));
  return 0;
}

enum class Side { kLimits, kRequests };

Amounts read_amounts(const Value& value, Side side) {
  Amounts amounts;
  for (const auto& [name, amount] : value.members()) {
    if (name == "cpu") {
      amounts.cpu = quantity(amount, parse_thousandths);
    } else if (name == "memory") {
      amounts.memory = quantity(amount, parse_units);
    } else if (name == "pids" && side == Side::kLimits) {
      amounts.pids = quantity(amount, parse_units);
    } else if (name == "ephemeral-storage") {
      // A request tells the scheduler where there is room.
      if (side == Side::kLimits) amount.unsupported("trivet can't limit what a container writes");
    } else if (is_device_kind(name)) {
      amounts.devices[name] = device_count(amount);
    } else {
      amount.unsupported(
          "of resources, trivet knows cpu, memory, a limit of pids, and devices as "
          "VENDOR/CLASS");
    }
  }
  return amounts;
}

void check_request(const Value& value, const std::optional<int64_t>& request,
                   const std::optional<int64_t>& limit, const char* what) {
  if (request && limit && *request > *limit) {
    value.wrong(fmt::format("the request of {} is over the limit", what));
  }
}

std::optional<Profile> read_profile(Fields& parent, const char* name) {
  const auto value = parent.find(name);
  if (!value) return std::nullopt;
  Fields fields(*value);
  Profile profile;
  std::optional<std::string> type;
  if (const auto field = fields.need("type")) {
    type = field->one_of({"RuntimeDefault", "Unconfined", "Localhost"});
  }
  const auto local = fields.find("localhostProfile");
  if (local) profile.name = local->text();
  if (type == "Unconfined") profile.kind = Profile::Kind::kUnconfined;
  if (type == "Localhost") profile.kind = Profile::Kind::kLocalhost;
  if (type && (type == "Localhost") != local.has_value()) {
    value->wrong("localhostProfile belongs to the type Localhost, which needs it");
  }
  return profile;
}

void read_capability_list(const Value& value, std::vector<std::string>& target) {
  for (const Value& item : value.items()) {
    const std::string name = item.text();
    if (item.node().kind != Node::Kind::kText) continue;
    if (const auto known = caps::adjust({}, {name}, {}); !known) {
      item.wrong(known.error().message(), known.error().hint_text());
      continue;
    }
    target.push_back(name);
  }
}

void read_capabilities(const Value& value, ContainerSecurity& security) {
  Fields fields(value);
  if (const auto add = fields.find("add")) read_capability_list(*add, security.cap_add);
  if (const auto drop = fields.find("drop")) read_capability_list(*drop, security.cap_drop);
}

// Members that a pod's and a container's security context share. An id is read as "root" too when
// runAsNonRoot forbids it.
template <typename Security>
void read_identity(Fields& fields, Security& security) {
  const auto user = fields.find("runAsUser");
  if (user) security.run_as_user = static_cast<uint32_t>(user->integer(kId));
  fields.read_integer("runAsGroup", security.run_as_group, kId);
  fields.read_flag("runAsNonRoot", security.run_as_non_root);
  if (user && security.run_as_non_root.value_or(false) && security.run_as_user == 0U) {
    user->wrong("0 is root, and runAsNonRoot is true");
  }
  security.seccomp = read_profile(fields, "seccompProfile");
  security.apparmor = read_profile(fields, "appArmorProfile");
  fields.refuse("seLinuxOptions", "trivet sets no SELinux labels");
  fields.refuse("windowsOptions", "this is Linux");
}

bool is_pod_sysctl(std::string_view name) {
  return name.starts_with("net.") || name.starts_with("fs.mqueue.") ||
         name.starts_with("kernel.shm") || name.starts_with("kernel.msg") || name == "kernel.sem";
}

void read_sysctl(const Value& value, std::map<std::string, std::string>& target) {
  Fields fields(value);
  const auto name_field = fields.need("name");
  const auto value_field = fields.need("value");
  if (!name_field || !value_field) return;
  std::string name = name_field->text();
  std::ranges::replace(name, '/', '.');
  if (!is_pod_sysctl(name) || name.find("..") != std::string::npos) {
    name_field->wrong(fmt::format("\"{}\": it belongs to no namespace of a pod", name),
                      "net.*, fs.mqueue.*, kernel.shm*, kernel.msg* and kernel.sem can be set");
  }
  target[name] = value_field->text();
}

}  // namespace

Resources read_resources(const Value& value) {
  Fields fields(value);
  Amounts limits;
  Amounts requests;
  if (const auto field = fields.find("limits")) limits = read_amounts(*field, Side::kLimits);
  const auto field = fields.find("requests");
  if (field) requests = read_amounts(*field, Side::kRequests);
  if (field) {
    check_request(*field, requests.cpu, limits.cpu, "cpu");
    check_request(*field, requests.memory, limits.memory, "memory");
  }
  for (const auto& [name, count] : requests.devices) {
    const auto limit = limits.devices.find(name);
    if (limit == limits.devices.end() || limit->second != count) {
      field->wrong(fmt::format("the request of {} is not its limit", name));
    }
  }
  fields.refuse("claims", "trivet gives out no devices by claim");
  return {.cpu_limit = limits.cpu,
          .memory_limit = limits.memory,
          .cpu_request = requests.cpu ? requests.cpu : limits.cpu,
          .memory_request = requests.memory ? requests.memory : limits.memory,
          .pids_limit = limits.pids,
          .devices = limits.devices};
}

ContainerSecurity read_container_security(const Value& value) {
  Fields fields(value);
  ContainerSecurity security;
  read_identity(fields, security);
  if (const auto field = fields.find("capabilities")) read_capabilities(*field, security);
  fields.read("readOnlyRootFilesystem", security.read_only_root);
  fields.read("allowPrivilegeEscalation", security.allow_privilege_escalation);
  fields.read("privileged", security.privileged);
  if (security.privileged && !security.allow_privilege_escalation) {
    value.wrong("privileged needs allowPrivilegeEscalation");
  }
  if (const auto field = fields.find("procMount")) {
    if (field->one_of({"Default", "Unmasked"}) == "Unmasked") {
      field->unsupported("trivet always hides what /proc says about the host");
    }
  }
  return security;
}

PodSecurity read_pod_security(const Value& value) {
  Fields fields(value);
  PodSecurity security;
  read_identity(fields, security);
  fields.read_integer("fsGroup", security.fs_group, kId);
  // Volumes are made with their group: there is never anything to change.
  if (const auto field = fields.find("fsGroupChangePolicy")) {
    static_cast<void>(field->one_of({"Always", "OnRootMismatch"}));
  }
  if (const auto field = fields.find("supplementalGroups")) {
    for (const Value& item : field->items()) {
      security.supplemental_groups.push_back(static_cast<uint32_t>(item.integer(kId)));
    }
  }
  if (const auto field = fields.find("supplementalGroupsPolicy")) {
    if (field->one_of({"Merge", "Strict"}) == "Strict") {
      field->unsupported("a user's groups in the image always count");
    }
  }
  fields.refuse("seLinuxChangePolicy", "trivet sets no SELinux labels");
  if (const auto field = fields.find("sysctls")) {
    for (const Value& item : field->items()) read_sysctl(item, security.sysctls);
  }
  return security;
}

}  // namespace trivet::manifest
