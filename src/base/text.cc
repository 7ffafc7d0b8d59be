#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstring>
#include <ctime>
#include <numeric>
#include <sys/random.h>

namespace trivet {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += parts[i];
  }
  return text;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

Result<int64_t> parse_int(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not a whole number", text);
  }
  return value;
}

Result<int64_t> parse_size(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit(end, text.data() + text.size());
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });
  if (unit.ends_with("ib")) unit.resize(unit.size() - 2);
  if (unit.size() == 2 && unit.ends_with("b")) unit.pop_back();
  constexpr std::string_view kUnits = "bkmgtp";
  const size_t power = unit.empty() ? 0 : kUnits.find(unit[0]);
  const double bytes = value * std::pow(1024.0, static_cast<double>(power));
  if (error != std::errc{} || unit.size() > 1 || power == std::string_view::npos || value < 0 ||
      !std::isfinite(bytes) || bytes > 9e18) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not a size", text))
            .hint("write bytes, or a number with k, m, g or t: 512k, 64m, 1.5g"));
  }
  return static_cast<int64_t>(bytes);
}

std::string format_size(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024.0 && unit + 1 < kUnits.size(); ++unit) value /= 1024.0;
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : 1, kUnits.at(unit));
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  double milliseconds = 0;
  std::string_view rest = text;
  do {
    double value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{} || value < 0) milliseconds = NAN;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    const size_t length = std::min(rest.find_first_of("0123456789."), rest.size());
    const std::string_view unit = rest.substr(0, length);
    rest.remove_prefix(length);
    const double scale = unit == "ms"                  ? 1
                         : unit == "s" || unit.empty() ? 1e3
                         : unit == "m"                 ? 6e4
                         : unit == "h"                 ? 3.6e6
                         : unit == "d"                 ? 8.64e7
                                                       : NAN;
    milliseconds += value * scale;
  } while (!rest.empty() && std::isfinite(milliseconds));
  if (!std::isfinite(milliseconds) || milliseconds > 9e15) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not a duration", text))
            .hint("write seconds, or a number with ms, s, m, h or d: 30, 500ms, 1m30s"));
  }
  return std::chrono::milliseconds(static_cast<int64_t>(milliseconds));
}

std::string format_age(std::chrono::seconds age) {
  const int64_t seconds = std::max<int64_t>(0, age.count());
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  constexpr std::array<Unit, 5> kUnits{Unit{31536000, "year"}, Unit{86400, "day"},
                                       Unit{3600, "hour"}, Unit{60, "minute"}, Unit{1, "second"}};
  for (const Unit& unit : kUnits) {
    const int64_t count = seconds / unit.seconds;
    if (count > 0) return fmt::format("{} {}{}", count, unit.name, count == 1 ? "" : "s");
  }
  return "0 seconds";
}

// By <chrono> alone: gmtime_r would read the host's time zone.
std::string format_rfc3339(Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::nanoseconds>(time) - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

Result<Timestamp> parse_timestamp(std::string_view text) {
  if (const auto seconds = parse_int(text)) {
    return Timestamp(std::chrono::seconds(*seconds));
  }
  const std::string copy(text);
  tm parts{};
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not a time", text))
            .hint("write RFC 3339, such as 2026-01-02T03:04:05Z"));
  }
  int64_t nanoseconds = 0;
  if (*rest == '.') {
    ++rest;
    for (int64_t scale = 100000000; std::isdigit(static_cast<unsigned char>(*rest)) != 0;
         ++rest, scale /= 10) {
      nanoseconds += (*rest - '0') * scale;
    }
  }
  int64_t offset = 0;
  if (*rest == '+' || *rest == '-') {
    int hours = 0;
    int minutes = 0;
    if (sscanf(rest + 1, "%2d:%2d", &hours, &minutes) == 2) {  // NOLINT(cert-err34-c)
      offset = (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    }
  }
  return Timestamp(std::chrono::seconds(timegm(&parts) - offset) +
                   std::chrono::nanoseconds(nanoseconds));
}

std::string random_hex(size_t bytes) {
  std::string raw(bytes, '\0');
  for (size_t filled = 0; filled < bytes;) {
    const ssize_t count = getrandom(raw.data() + filled, bytes - filled, 0);
    if (count > 0) filled += static_cast<size_t>(count);
  }
  std::string text;
  for (const char byte : raw) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

Result<int> parse_signal(std::string_view text) {
  if (const auto number = parse_int(text); number && *number > 0 && *number < NSIG) {
    return static_cast<int>(*number);
  }
  std::string name(text);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  if (name.starts_with("RTMIN+")) {
    if (const auto offset = parse_int(name.substr(6)); offset && SIGRTMIN + *offset <= SIGRTMAX) {
      return static_cast<int>(SIGRTMIN + *offset);
    }
  }
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not a signal", text))
          .hint("use a name such as TERM or SIGKILL, or a number from 1 to 64"));
}

std::string signal_name(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("{}", signal);
}

std::string nearest_name(std::string_view typed, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, typed.size() / 3) + 1;
  for (const std::string& name : known) {
    std::vector<size_t> row(name.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (size_t i = 1; i <= typed.size(); ++i) {
      size_t diagonal = std::exchange(row[0], i);
      for (size_t j = 1; j <= name.size(); ++j) {
        const size_t substitute = diagonal + (typed[i - 1] == name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = name;
    }
  }
  return best;
}

}  // namespace trivet
