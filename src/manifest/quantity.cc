#include "manifest/quantity.h"

#include <array>
#include <limits>

#include "base/text.h"

namespace trivet::manifest {

namespace {

__extension__ using Wide = __int128;

constexpr int kFractionDigits = 9;  // billionths are Kubernetes' smallest step
constexpr Wide kBillion = 1'000'000'000;
constexpr Wide kLargest = static_cast<Wide>(std::numeric_limits<int64_t>::max()) * kBillion;

// value * numerator / denominator.
struct Suffix {
  std::string_view text;
  Wide numerator;
  Wide denominator;
};

constexpr Wide kKi = 1024;
constexpr Wide kK = 1000;
constexpr std::array kSuffixes = {Suffix{"", 1, 1},
                                  Suffix{"n", 1, kBillion},
                                  Suffix{"u", 1, kK* kK},
                                  Suffix{"m", 1, kK},
                                  Suffix{"k", kK, 1},
                                  Suffix{"M", kK* kK, 1},
                                  Suffix{"G", kK* kK* kK, 1},
                                  Suffix{"T", kK* kK* kK* kK, 1},
                                  Suffix{"P", kK* kK* kK* kK* kK, 1},
                                  Suffix{"E", kK* kK* kK* kK* kK* kK, 1},
                                  Suffix{"Ki", kKi, 1},
                                  Suffix{"Mi", kKi* kKi, 1},
                                  Suffix{"Gi", kKi* kKi* kKi, 1},
                                  Suffix{"Ti", kKi* kKi* kKi* kKi, 1},
                                  Suffix{"Pi", kKi* kKi* kKi* kKi* kKi, 1},
                                  Suffix{"Ei", kKi* kKi* kKi* kKi* kKi* kKi, 1}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::unexpected<Error> no_quantity(std::string_view text) {
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no quantity", text))
          .hint("a quantity is a number with a unit: 500m, 2, 64Mi, 1.5G"));
}

std::unexpected<Error> too_large(std::string_view text) {
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is too large", text);
}

// The digits in front, in billionths; takes them off `rest`.
Result<Wide> take_number(std::string_view text, std::string_view& rest) {
  Wide value = 0;
  size_t digits = 0;
  for (; !rest.empty() && is_digit(rest.front()); rest.remove_prefix(1), ++digits) {
    value = value * 10 + (rest.front() - '0');
    if (value > std::numeric_limits<int64_t>::max()) return too_large(text);
  }
  value *= kBillion;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    Wide step = kBillion / 10;
    bool more = false;
    for (; !rest.empty() && is_digit(rest.front()); rest.remove_prefix(1), ++digits) {
      more = more || (step == 0 && rest.front() != '0');
      value += step * (rest.front() - '0');
      step /= 10;
    }
    if (more) value += 1;
  }
  if (digits == 0) return no_quantity(text);
  return value;
}

Result<Suffix> read_suffix(std::string_view text, std::string_view rest) {
  for (const Suffix& suffix : kSuffixes) {
    if (rest == suffix.text) return suffix;
  }
  if (rest.front() != 'e' && rest.front() != 'E') return no_quantity(text);
  rest.remove_prefix(1);
  if (rest.starts_with('+')) rest.remove_prefix(1);
  const auto exponent = parse_int(rest);
  if (!exponent) return no_quantity(text);
  if (*exponent < -kFractionDigits || *exponent > 18) return too_large(text);
  Suffix suffix{rest, 1, 1};
  for (int64_t i = 0; i < *exponent; ++i) suffix.numerator *= 10;
  for (int64_t i = 0; i > *exponent; --i) suffix.denominator *= 10;
  return suffix;
}

// The quantity in billionths.
Result<Wide> parse_billionths(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.starts_with('-')) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is negative", text);
  }
  Wide value = TRY(take_number(text, rest));
  const Suffix suffix = TRY(read_suffix(text, rest));
  if (value > kLargest / suffix.numerator) return too_large(text);
  value *= suffix.numerator;
  return (value + suffix.denominator - 1) / suffix.denominator;
}

}  // namespace

Result<int64_t> parse_thousandths(std::string_view text) {
  constexpr Wide kStep = kBillion / 1000;
  const Wide value = (TRY(parse_billionths(text)) + kStep - 1) / kStep;
  if (value > std::numeric_limits<int64_t>::max()) return too_large(text);
  return static_cast<int64_t>(value);
}

Result<int64_t> parse_units(std::string_view text) {
  return static_cast<int64_t>((TRY(parse_billionths(text)) + kBillion - 1) / kBillion);
}

}  // namespace trivet::manifest
