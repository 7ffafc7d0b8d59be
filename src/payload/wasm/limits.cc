#include "payload/wasm/limits.h"

#include <algorithm>

#include "base/text.h"

namespace trivet::payload::wasm {

namespace {

// What trivet-wasm needs besides the linear memory, rounded up.
constexpr uint64_t kHostBytes = uint64_t{8} << 20;

Result<uint64_t> parse_count(const std::string& text, uint64_t least, uint64_t most) {
  const int64_t value = TRY(parse_int(text));
  if (value < 0 || static_cast<uint64_t>(value) < least || static_cast<uint64_t>(value) > most) {
    return fail(ErrorCode::kInvalidArgument, "{} is not in {} … {}", value, least, most);
  }
  return static_cast<uint64_t>(value);
}

Result<> apply(const std::string& key, const std::string& value, Settings& settings) {
  if (key == kFuelAnnotation) {
    if (value == "off") return {};
    settings.limits.fuel = TRY(parse_count(value, 1, INT64_MAX));
    return {};
  }
  if (key == kPagesAnnotation) {
    settings.limits.memory_bytes = TRY(parse_count(value, 0, kMaxPages))
    *kPageBytes;
    return {};
  }
  if (key == kTimeoutAnnotation) {
    settings.limits.timeout = TRY(parse_duration(value));
    return {};
  }
  if (key == kInvokeAnnotation) {
    settings.invoke = value;
    return {};
  }
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, "no such annotation")
          .hint(fmt::format("known are {}, {}, {} and {}", kFuelAnnotation, kPagesAnnotation,
                            kTimeoutAnnotation, kInvokeAnnotation)));
}

}  // namespace

Result<Settings> plan_settings(const std::map<std::string, std::string>& annotations,
                               std::optional<int64_t> cgroup_memory) {
  constexpr std::string_view kPrefix = "dev.trivet.wasm.";
  Settings settings;
  for (auto entry = annotations.lower_bound(std::string(kPrefix));
       entry != annotations.end() && entry->first.starts_with(kPrefix); ++entry) {
    TRY_IN(apply(entry->first, entry->second, settings), "{}: \"{}\"", entry->first, entry->second);
  }
  if (cgroup_memory && *cgroup_memory > 0) {
    const auto limit = static_cast<uint64_t>(*cgroup_memory);
    const uint64_t room = limit > 2 * kHostBytes ? limit - kHostBytes : limit / 2;
    settings.limits.memory_bytes = std::min(settings.limits.memory_bytes, room);
  }
  return settings;
}

}  // namespace trivet::payload::wasm
