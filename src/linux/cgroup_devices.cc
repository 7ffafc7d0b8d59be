#include "linux/cgroup_devices.h"

#include <algorithm>

#include "base/text.h"

namespace trivet::cgroup {

namespace {

constexpr uint32_t kAllAccess = kMknod | kRead | kWrite;

// What a container without any rule has: runc's AllowedDevices.
const std::vector<DeviceException>& basic_devices() {
  static const std::vector<DeviceException> kBasic = {
      {true, 'c', std::nullopt, std::nullopt, kMknod},
      {true, 'b', std::nullopt, std::nullopt, kMknod},
      {true, 'c', 1, 3, kAllAccess},              // /dev/null
      {true, 'c', 1, 5, kAllAccess},              // /dev/zero
      {true, 'c', 1, 7, kAllAccess},              // /dev/full
      {true, 'c', 1, 8, kAllAccess},              // /dev/random
      {true, 'c', 1, 9, kAllAccess},              // /dev/urandom
      {true, 'c', 5, 0, kAllAccess},              // /dev/tty
      {true, 'c', 5, 2, kAllAccess},              // /dev/ptmx
      {true, 'c', 10, 200, kAllAccess},           // /dev/net/tun
      {true, 'c', 136, std::nullopt, kAllAccess}  // /dev/pts/*, also the bound /dev/console
  };
  return kBasic;
}

Result<uint32_t> parse_access(std::string_view text) {
  uint32_t access = 0;
  for (const char letter : text) {
    switch (letter) {
      case 'r':
        access |= kRead;
        break;
      case 'w':
        access |= kWrite;
        break;
      case 'm':
        access |= kMknod;
        break;
      default:
        return fail(ErrorCode::kInvalidArgument,
                    "linux.resources.devices: access \"{}\" has other letters than r, w and m",
                    text);
    }
  }
  return access;
}

bool same_devices(const DeviceException& a, const DeviceException& b) {
  return a.type == b.type && a.major == b.major && a.minor == b.minor;
}

bool overlaps(const DeviceException& a, const DeviceException& b) {
  const auto meet = [](const auto& x, const auto& y) { return !x || !y || *x == *y; };
  return a.type == b.type && meet(a.major, b.major) && meet(a.minor, b.minor) &&
         (a.access & b.access) != 0;
}

std::string line_of(const DeviceException& rule) {
  const auto number = [](const std::optional<int64_t>& value) {
    return value ? fmt::format("{}", *value) : "*";
  };
  std::string access;
  if ((rule.access & kRead) != 0) access += 'r';
  if ((rule.access & kWrite) != 0) access += 'w';
  if ((rule.access & kMknod) != 0) access += 'm';
  return fmt::format("{} {}:{} {}", rule.type, number(rule.major), number(rule.minor), access);
}

// The rules as the kernel of v1 keeps them: one entry for a device or range, holding the accesses
// that differ from the default.
Result<std::vector<DeviceException>> merge(const DevicePolicy& policy) {
  std::vector<DeviceException> merged;
  for (const DeviceException& rule : policy.exceptions) {
    const auto same = std::ranges::find_if(
        merged, [&](const DeviceException& entry) { return same_devices(entry, rule); });
    if (rule.allow != policy.default_allow) {
      if (same != merged.end()) {
        same->access |= rule.access;
      } else {
        merged.push_back(rule);
      }
      continue;
    }
    if (same != merged.end()) same->access &= ~rule.access;
    if (std::ranges::any_of(merged, [&](const auto& entry) { return overlaps(entry, rule); })) {
      return fail(ErrorCode::kUnsupported,
                  "linux.resources.devices: cgroup v1 can't take \"{}\" out of a wider rule",
                  line_of(rule));
    }
  }
  std::erase_if(merged, [](const DeviceException& entry) { return entry.access == 0; });
  return merged;
}

// devices.list: "a *:* rwm" when everything is allowed (exceptions are not shown then), else the
// allowed ones.
Result<std::vector<DeviceException>> parse_list(std::string_view text) {
  std::vector<DeviceException> entries;
  for (const std::string& line : split(trim(text), '\n')) {
    const std::vector<std::string> words = split(line, ' ');
    if (words.size() != 3 || words[0].size() != 1) continue;
    const std::vector<std::string> numbers = split(words[1], ':');
    if (numbers.size() != 2) continue;
    DeviceException entry {
      true, words[0][0], std::nullopt, std::nullopt, TRY(parse_access(words[2]))
    };
    if (numbers[0] != "*") entry.major = TRY(parse_int(numbers[0]));
    if (numbers[1] != "*") entry.minor = TRY(parse_int(numbers[1]));
    entries.push_back(entry);
  }
  return entries;
}

// Accesses of `entry` that `others` doesn't hold for the same devices.
uint32_t missing_access(const DeviceException& entry, const std::vector<DeviceException>& others) {
  const auto same = std::ranges::find_if(
      others, [&](const DeviceException& other) { return same_devices(entry, other); });
  return same == others.end() ? entry.access : entry.access & ~same->access;
}

}  // namespace

Result<DevicePolicy> make_device_policy(const std::vector<oci::DeviceRule>& rules) {
  DevicePolicy policy;
  for (const oci::DeviceRule& rule : rules) {
    if (rule.type != 'a' && rule.type != 'c' && rule.type != 'b') {
      return fail(ErrorCode::kInvalidArgument, "linux.resources.devices: unknown type \"{}\"",
                  rule.type);
    }
    const uint32_t access = rule.access.empty() ? kAllAccess : TRY(parse_access(rule.access));
    // -1 is how Docker writes "all".
    const auto known = [](const std::optional<int64_t>& n) { return n == -1 ? std::nullopt : n; };
    const DeviceException base{rule.allow, 'c', known(rule.major), known(rule.minor), access};
    if (rule.type == 'a' && !base.major && !base.minor && access == kAllAccess) {
      policy = {rule.allow, {}};
      continue;
    }
    for (const char type : {'c', 'b'}) {
      if (rule.type != 'a' && rule.type != type) continue;
      policy.exceptions.push_back(base);
      policy.exceptions.back().type = type;
    }
  }
  if (!policy.default_allow) {
    policy.exceptions.insert(policy.exceptions.end(), basic_devices().begin(),
                             basic_devices().end());
  }
  return policy;
}

Result<std::vector<DeviceWrite>> plan_devices_v1(const DevicePolicy& policy,
                                                 std::string_view current) {
  const std::vector<DeviceException> wanted = TRY(merge(policy));
  const bool allows_all = trim(current).starts_with("a ");
  std::vector<DeviceWrite> writes;
  if (policy.default_allow) {
    // The kernel doesn't show the exceptions to "all", so these start over.
    if (!allows_all || !wanted.empty()) writes.push_back({true, "a"});
    for (const DeviceException& entry : wanted) writes.push_back({false, line_of(entry)});
    return writes;
  }
  std::vector<DeviceException> present;
  if (allows_all) {
    writes.push_back({false, "a"});
  } else {
    present = TRY(parse_list(current));
  }
  for (DeviceException entry : present) {
    entry.access = missing_access(entry, wanted);
    if (entry.access != 0) writes.push_back({false, line_of(entry)});
  }
  for (DeviceException entry : wanted) {
    entry.access = missing_access(entry, present);
    if (entry.access != 0) writes.push_back({true, line_of(entry)});
  }
  return writes;
}

}  // namespace trivet::cgroup
