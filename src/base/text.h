// Small text facilities that several modules need: splitting, numbers, sizes, times, identifiers.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet {

using Timestamp = std::chrono::system_clock::time_point;

[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);
[[nodiscard]] std::string join(const std::vector<std::string>& parts, std::string_view separator);
[[nodiscard]] std::string_view trim(std::string_view text);

// The whole text as a decimal integer; kInvalidArgument otherwise.
Result<int64_t> parse_int(std::string_view text);

// "64m", "1.5g", "1048576", "512k", "2GiB", in bytes; units are powers of 1024 as in Docker.
Result<int64_t> parse_size(std::string_view text);
// "1.5 GiB", "64 MiB", "12 B".
[[nodiscard]] std::string format_size(uint64_t bytes);

// "90", "90s", "1m30s", "500ms", "2h"; a bare number is seconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// "3 seconds", "5 minutes", "2 days": for people.
[[nodiscard]] std::string format_age(std::chrono::seconds age);

// RFC 3339 in UTC with nanoseconds: "2026-01-02T03:04:05.000000006Z".
[[nodiscard]] std::string format_rfc3339(Timestamp time);
// RFC 3339 with any offset, or seconds since the epoch.
Result<Timestamp> parse_timestamp(std::string_view text);

// `bytes` random bytes of the kernel in lower-case hex.
[[nodiscard]] std::string random_hex(size_t bytes);

// "TERM", "SIGTERM", "15" to the number; kInvalidArgument otherwise.
Result<int> parse_signal(std::string_view text);
// 15 to "SIGTERM".
[[nodiscard]] std::string signal_name(int signal);

// The known name closest to what was typed, for "did you mean"; empty when none is close.
[[nodiscard]] std::string nearest_name(std::string_view typed,
                                       const std::vector<std::string>& known);

}  // namespace trivet
