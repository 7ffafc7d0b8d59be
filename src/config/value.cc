// The little languages of values, in both directions.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/runtime_name.h"
#include "base/text.h"
#include "config/keys.h"

namespace trivet::config {

namespace {

using OrderedJson = nlohmann::ordered_json;

std::unexpected<Error> wrong(std::string message, std::string hint) {
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, std::move(message)).hint(std::move(hint)));
}

Result<bool> parse_flag(const std::string& text) {
  for (const char* word : {"true", "yes", "on", "1"}) {
    if (text == word) return true;
  }
  for (const char* word : {"false", "no", "off", "0"}) {
    if (text == word) return false;
  }
  return wrong(fmt::format("\"{}\" is neither true nor false", text), "write true or false");
}

Result<int64_t> parse_cpus(const std::string& text) {
  double cpus = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cpus);
  if (error != std::errc{} || end != text.data() + text.size() || !(std::abs(cpus) < 1e6)) {
    return wrong(fmt::format("\"{}\" is not a number of CPUs", text), "write it like 0.5 or 2");
  }
  return std::llround(cpus * 1000);
}

Result<int64_t> parse_number(Form form, const std::string& text) {
  switch (form) {
    case Form::kSize:
      return parse_size(text);
    case Form::kCpus:
      return parse_cpus(text);
    case Form::kTime:
      return TRY(parse_duration(text))
      .count();
    default:
      break;
  }
  const auto number = parse_int(text);
  if (number) return number;
  return wrong(fmt::format("\"{}\" is not a whole number", text), "write digits alone");
}

struct Unit {
  int64_t size;
  const char* name;
};

// In the largest unit that leaves a whole number.
template <size_t N>
std::string in_units(int64_t value, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.size == 0)
      return fmt::format("{}{}", value / unit.size, unit.name);
  }
  return fmt::format("{}{}", value, units.back().name);
}

std::string print_size(int64_t bytes) {
  constexpr auto kUnits = std::to_array<Unit>(
      {{1LL << 40U, "t"}, {1LL << 30U, "g"}, {1LL << 20U, "m"}, {1LL << 10U, "k"}, {1, ""}});
  return in_units(bytes, kUnits);
}

std::string print_time(int64_t milliseconds) {
  constexpr auto kUnits =
      std::to_array<Unit>({{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}});
  return in_units(milliseconds, kUnits);
}

OrderedJson number_json(const Key& key, int64_t value) {
  if (value == 0 && key.none == NoneIs::kNoLimit) return "none";
  switch (key.form) {
    case Form::kSize:
      return print_size(value);
    case Form::kTime:
      return print_time(value);
    case Form::kCpus:
      if (value % 1000 != 0) return static_cast<double>(value) / 1000;
      return value / 1000;
    default:
      return value;
  }
}

// A number as people write it in this key's unit.
std::string shown(const Key& key, int64_t value) {
  return value_text(number_json(key, value));
}

Result<int64_t> parse_limited(const Key& key, const std::string& text) {
  if (text == "none" && key.none == NoneIs::kNoLimit) return 0;
  auto value = parse_number(key.form, text);
  if (!value) return value;
  if (*value >= key.least && *value <= key.most) return value;
  std::string allowed = fmt::format("it is {} to {}", shown(key, key.least), shown(key, key.most));
  if (key.none == NoneIs::kNoLimit) allowed += ", or none";
  return fail(ErrorCode::kInvalidArgument, "{}: {}", text, allowed);
}

Result<std::string> parse_choice(const Key& key, const std::string& text) {
  if (std::ranges::find(key.choices, text) != key.choices.end()) return text;
  const std::string nearest = nearest_name(text, key.choices);
  Error error(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\": it is one of {}", text, join(key.choices, ", ")));
  if (nearest.empty()) return std::unexpected(std::move(error));
  return std::unexpected(std::move(error).hint(fmt::format("did you mean \"{}\"?", nearest)));
}

Result<std::string> parse_fuel(const Key& key, const std::string& text) {
  if (text == "off") return text;
  if (!parse_limited(key, text)) {
    return wrong(fmt::format("\"{}\" is no number of instructions", text),
                 "write a number above 0, or off");
  }
  return text;
}

// Names are checked without their key in front: the reader says where it stands.
Result<std::string> parse_runtime(const std::string& text) {
  auto name = parse_runtime_name(text, "");
  if (name) return name;
  std::string message = name.error().message().substr(2);
  return wrong(std::move(message), name.error().hint_text());
}

Result<std::string> parse_text(const Key& key, const std::string& text) {
  switch (key.form) {
    case Form::kRuntime:
      return parse_runtime(text);
    case Form::kPath:
      return parse_path(text);
    case Form::kFuel:
      return parse_fuel(key, text);
    default:
      return parse_choice(key, text);
  }
}

}  // namespace

Result<std::string> parse_path(const std::string& text) {
  if (text.starts_with('/')) return text;
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
  if (text.starts_with("~/") && home != nullptr && *home == '/') return home + text.substr(1);
  return wrong(fmt::format("\"{}\" is no absolute path", text), "begin it with / or ~/");
}

Result<> store_value(const Key& key, const std::string& text, Settings& settings) {
  if (const auto* flag = std::get_if<bool Settings::*>(&key.member)) {
    settings.** flag = TRY(parse_flag(text));
  } else if (const auto* number = std::get_if<int64_t Settings::*>(&key.member)) {
    settings.** number = TRY(parse_limited(key, text));
  } else if (const auto* time = std::get_if<std::chrono::milliseconds Settings::*>(&key.member)) {
    settings.** time = std::chrono::milliseconds(TRY(parse_limited(key, text)));
  } else if (const auto* word = std::get_if<std::string Settings::*>(&key.member)) {
    settings.** word = TRY(parse_text(key, text));
  }
  return {};
}

OrderedJson value_json(const Key& key, const Settings& settings) {
  if (const auto* flag = std::get_if<bool Settings::*>(&key.member)) return settings.**flag;
  if (const auto* number = std::get_if<int64_t Settings::*>(&key.member)) {
    return number_json(key, settings.**number);
  }
  if (const auto* time = std::get_if<std::chrono::milliseconds Settings::*>(&key.member)) {
    return number_json(key, (settings.**time).count());
  }
  const std::string& text = settings.*std::get<std::string Settings::*>(key.member);
  if (key.form == Form::kFuel && text != "off") return parse_int(text).value_or(0);
  return text;
}

std::string value_text(const OrderedJson& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace trivet::config
