#include "linux/systemd_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "linux/bit_list.h"

namespace trivet::systemd {

namespace {

constexpr std::string_view kSliceSuffix = ".slice";
constexpr std::string_view kAnnotation = "org.systemd.property.";
constexpr uint64_t kInfinity = UINT64_MAX;  // systemd's USEC_INFINITY and CGROUP_LIMIT_MAX

enum class Kind { kNumber, kBitList };

// Control files that are one property.
struct KnownFile {
  std::string_view file;
  const char* property;
  Kind kind = Kind::kNumber;
};
constexpr KnownFile kFiles[] = {
    {"memory.max", "MemoryMax"},
    {"memory.high", "MemoryHigh"},
    {"memory.low", "MemoryLow"},
    {"memory.min", "MemoryMin"},
    {"memory.swap.max", "MemorySwapMax"},
    {"memory.limit_in_bytes", "MemoryLimit"},
    {"cpu.weight", "CPUWeight"},
    {"cpu.shares", "CPUShares"},
    {"cpuset.cpus", "AllowedCPUs", Kind::kBitList},
    {"cpuset.mems", "AllowedMemoryNodes", Kind::kBitList},
    {"pids.max", "TasksMax"},
    {"io.weight", "IOWeight"},
    {"blkio.weight", "BlockIOWeight"},
};

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "max" on v2 and -1 on v1 are no limit. What is for one device alone is nothing.
std::optional<uint64_t> parse_limit(std::string_view text) {
  if (text == "max" || text == "-1") return kInfinity;
  if (text.starts_with("default ")) text.remove_prefix(8);
  return parse_number(text);
}

Property number_property(std::string name, uint64_t value) {
  return {.name = std::move(name), .signature = "t", .words = {fmt::format("{}", value)}};
}

Property bool_property(std::string name, bool value) {
  return {.name = std::move(name), .signature = "b", .words = {value ? "true" : "false"}};
}

// A mask in bytes, the lowest numbers first.
Result<Property> bits_property(std::string name, std::string_view list) {
  std::vector<std::string> words;
  for (const uint64_t word : TRY(parse_bit_list(list))) {
    for (unsigned byte = 0; byte < 8; ++byte) {
      words.push_back(fmt::format("{}", (word >> (8 * byte)) & 0xFF));
    }
  }
  while (words.size() > 1 && words.back() == "0") words.pop_back();
  words.insert(words.begin(), fmt::format("{}", words.size()));
  return Property{.name = std::move(name), .signature = "ay", .words = std::move(words)};
}

const KnownFile* find_file(const cgroup::Setting& setting, std::string& value) {
  for (const cgroup::ControlWrite& write : setting.writes) {
    const auto* found = std::ranges::find(kFiles, write.file, &KnownFile::file);
    if (found == std::end(kFiles)) continue;
    value = write.value;
    return found;
  }
  return nullptr;
}

// systemd keeps whole percents when it writes the unit down (in /run/systemd/transient), so it gets
// the next larger one: what a container may give to its own children must fit in (runc does so).
uint64_t quota_per_second(const CpuMax& cpu) {
  constexpr uint64_t kPercent = 10000;
  if (cpu.quota < 0 || cpu.period == 0) return kInfinity;
  const uint64_t exact = static_cast<uint64_t>(cpu.quota) * 1'000'000 / cpu.period;
  return std::max<uint64_t>(1, (exact + kPercent - 1) / kPercent) * kPercent;
}

// What a setting changes of cpu.max; false when it is about something else.
bool read_cpu(const cgroup::Setting& setting, CpuMax& cpu) {
  const auto& [file, value] = setting.writes.front();
  const auto set_quota = [&](std::string_view word) {
    const auto quota = parse_limit(word);
    cpu.quota = !quota || *quota == kInfinity ? -1 : static_cast<int64_t>(*quota);
  };
  if (file == "cpu.cfs_quota_us") {
    set_quota(value);
  } else if (file == "cpu.cfs_period_us" || (file == "cpu.max" && setting.keep_first_word)) {
    cpu.period = parse_number(value).value_or(cpu.period);
  } else if (file == "cpu.max") {
    const size_t space = value.find(' ');
    set_quota(value.substr(0, space));
    if (space != std::string::npos) {
      cpu.period = parse_number(value.substr(space + 1)).value_or(cpu.period);
    }
  } else {
    return false;
  }
  return true;
}

// "c 136" to "pts", from the lists of /proc/devices.
std::string driver_name(std::string_view devices, char type, int64_t major) {
  bool in_list = false;
  for (const std::string& line : split(devices, '\n')) {
    if (line.ends_with("devices:")) {
      in_list = line.starts_with(type == 'b' ? "Block" : "Character");
      continue;
    }
    const std::string_view entry = trim(line);
    const size_t space = entry.find(' ');
    if (!in_list || space == std::string_view::npos) continue;
    if (parse_number(entry.substr(0, space)) == static_cast<uint64_t>(major)) {
      return std::string(trim(entry.substr(space)));
    }
  }
  return {};
}

std::string device_pattern(const cgroup::DeviceException& device, std::string_view devices) {
  const char* type = device.type == 'b' ? "block" : "char";
  if (!device.major) return fmt::format("{}-*", type);
  if (device.minor) return fmt::format("/dev/{}/{}:{}", type, *device.major, *device.minor);
  const std::string name = driver_name(devices, device.type, *device.major);
  return name.empty() ? name : fmt::format("{}-{}", type, name);
}

std::string access_letters(uint32_t access) {
  std::string letters;
  if ((access & cgroup::kRead) != 0) letters += 'r';
  if ((access & cgroup::kWrite) != 0) letters += 'w';
  if ((access & cgroup::kMknod) != 0) letters += 'm';
  return letters;
}

// runc: only letters, at least three.
Result<> check_property_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.size() >= 3 && std::ranges::all_of(name, is_letter)) return {};
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is no name of a property", name);
}

// "TimeoutStopSec", a number of seconds, to "TimeoutStopUSec".
Result<Property> in_microseconds(Property property) {
  const std::string_view name = property.name;
  const bool in_seconds = name.size() > 3 && name.ends_with("Sec") &&
                          name[name.size() - 4] >= 'a' && name[name.size() - 4] <= 'z';
  if (!in_seconds) return property;
  double seconds = 0;
  const std::string& word = property.words.front();
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), seconds);
  const bool is_number = std::string_view("ynqiuxtd").contains(property.signature) &&
                         error == std::errc{} && end == word.data() + word.size();
  if (!is_number || seconds < 0 || seconds > 1e12) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no number of seconds", word);
  }
  return number_property(property.name.substr(0, property.name.size() - 3) + "USec",
                         static_cast<uint64_t>(std::llround(seconds * 1e6)));
}

Result<Property> plan_annotation(std::string_view name, std::string_view value) {
  TRY(check_property_name(name));
  return in_microseconds(TRY(parse_value(std::string(name), value)));
}

}  // namespace

Result<ScopeName> parse_scope_name(const std::string& cgroups_path, const std::string& id,
                                   const std::string& default_slice) {
  const std::vector<std::string> parts =
      cgroups_path.empty() ? std::vector<std::string>{"", "trivet", id} : split(cgroups_path, ':');
  if (parts.size() != 3 || parts[2].empty() || cgroups_path.find('/') != std::string::npos) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("linux.cgroupsPath: \"{}\" is not of the form \"slice:prefix:name\" that "
                          "the systemd cgroup driver takes",
                          cgroups_path))
            .hint(
                "the caller uses the cgroupfs driver; leave --systemd-cgroup out, or configure it "
                "for systemd"));
  }
  if (parts[2].ends_with(kSliceSuffix)) {
    return fail(ErrorCode::kInvalidArgument,
                "linux.cgroupsPath: \"{}\": a container is a scope, not a slice", cgroups_path);
  }
  ScopeName name{.slice = parts[0].empty() ? default_slice : parts[0],
                 .unit = parts[1].empty() ? parts[2] : parts[1] + "-" + parts[2]};
  name.unit += ".scope";
  TRY_IN(slice_path(name.slice), "linux.cgroupsPath: \"{}\"", cgroups_path);
  return name;
}

Result<std::string> slice_path(std::string_view slice) {
  if (slice == "-.slice") return std::string();
  const std::string_view name =
      slice.ends_with(kSliceSuffix) ? slice.substr(0, slice.size() - kSliceSuffix.size()) : "";
  std::string path;
  std::string prefix;
  for (const std::string& part : split(name, '-')) {
    if (part.empty() || part.find('/') != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "\"{}\" is no name of a slice", slice);
    }
    prefix += prefix.empty() ? part : "-" + part;
    path += fmt::format("/{}{}", prefix, kSliceSuffix);
  }
  if (path.empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no name of a slice", slice);
  }
  return path;
}

std::string manager_root(std::string_view cgroups_of_init) {
  constexpr std::string_view kInitScope = "/init.scope";
  std::string unified;
  for (const std::string& line : split(cgroups_of_init, '\n')) {
    const size_t colon = line.find(':', line.find(':') + 1);
    const bool named = line.find(":name=systemd:") != std::string::npos;
    if (colon == std::string::npos || (!named && !line.starts_with("0::"))) continue;
    std::string path = line.substr(colon + 1);
    if (path.ends_with(kInitScope)) path.resize(path.size() - kInitScope.size());
    if (path == "/") path.clear();
    if (named) return path;
    unified = path;
  }
  return unified;
}

Result<std::vector<Property>> plan_annotations(
    const std::map<std::string, std::string>& annotations) {
  std::vector<Property> properties;
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(kAnnotation)) continue;
    properties.push_back(TRY_IN(plan_annotation(key.substr(kAnnotation.size()), value),
                                "annotation \"{}\" = \"{}\"", key, value));
  }
  return properties;
}

Result<std::vector<Property>> plan_limits(const std::vector<cgroup::Setting>& settings,
                                          const CpuMax& present) {
  std::vector<Property> properties;
  CpuMax cpu = present;
  bool has_cpu = false;
  for (const cgroup::Setting& setting : settings) {
    if (read_cpu(setting, cpu)) {
      has_cpu = true;
      continue;
    }
    std::string value;
    const KnownFile* known = find_file(setting, value);
    if (known == nullptr) continue;
    if (known->kind == Kind::kBitList) {
      properties.push_back(TRY_IN(bits_property(known->property, value), "{}", setting.field));
    } else if (const auto limit = parse_limit(value)) {
      properties.push_back(number_property(known->property, *limit));
    }
  }
  if (has_cpu) {
    properties.push_back(number_property("CPUQuotaPeriodUSec", cpu.period));
    properties.push_back(number_property("CPUQuotaPerSecUSec", quota_per_second(cpu)));
  }
  return properties;
}

std::vector<Property> plan_devices(const cgroup::DevicePolicy& policy, std::string_view devices) {
  if (policy.default_allow) {
    return {{.name = "DevicePolicy", .signature = "s", .words = {"auto"}},
            {.name = "DeviceAllow", .signature = "a(ss)", .words = {"0"}}};
  }
  std::vector<std::string> words;
  size_t count = 0;
  for (const cgroup::DeviceException& device : policy.exceptions) {
    if (!device.allow) continue;  // of another exception: our own writes take it out
    const std::string pattern = device_pattern(device, devices);
    if (pattern.empty()) continue;  // no driver of this host has that major
    words.push_back(pattern);
    words.push_back(access_letters(device.access));
    ++count;
  }
  words.insert(words.begin(), fmt::format("{}", count));
  return {{.name = "DevicePolicy", .signature = "s", .words = {"strict"}},
          // An empty list first takes the former entries away.
          {.name = "DeviceAllow", .signature = "a(ss)", .words = {"0"}},
          {.name = "DeviceAllow", .signature = "a(ss)", .words = std::move(words)}};
}

std::vector<Property> plan_scope(const ScopeName& name, std::string_view description, pid_t first,
                                 bool v2) {
  return {{.name = "Description", .signature = "s", .words = {std::string(description)}},
          {.name = "Slice", .signature = "s", .words = {name.slice}},
          // The cgroup and those below it are the container's: systemd writes no further.
          bool_property("Delegate", true),
          bool_property("CPUAccounting", true),
          bool_property("MemoryAccounting", true),
          bool_property("TasksAccounting", true),
          bool_property(v2 ? "IOAccounting" : "BlockIOAccounting", true),
          // Not in the way of a shutdown, which engines have their own order for.
          bool_property("DefaultDependencies", false),
          // A scope that failed (its processes were killed) must not keep the name.
          {.name = "CollectMode", .signature = "s", .words = {"inactive-or-failed"}},
          {.name = "PIDs", .signature = "au", .words = {"1", fmt::format("{}", first)}}};
}

}  // namespace trivet::systemd
