#include "cdi/names.h"

#include <algorithm>

namespace trivet::cdi {

namespace {

constexpr size_t kMaxVendor = 253;
constexpr size_t kMaxClass = 63;
constexpr size_t kMaxDevice = 253;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_alphanumeric(char c) {
  return is_letter(c) || (c >= '0' && c <= '9');
}

bool is_name(std::string_view text, std::string_view inner) {
  return !text.empty() && is_alphanumeric(text.front()) && is_alphanumeric(text.back()) &&
         std::ranges::all_of(text, [&](char c) {
           return is_alphanumeric(c) || inner.find(c) != std::string_view::npos;
         });
}

Result<> check_part(std::string_view what, std::string_view text, size_t most) {
  if (text.size() > most) {
    return fail(ErrorCode::kInvalidArgument, "the {} is longer than {} characters", what, most);
  }
  if (is_name(text, "-_.") && is_letter(text.front())) return {};
  return fail(ErrorCode::kInvalidArgument,
              "the {} \"{}\" is not of letters, digits, \"-\", \"_\" and \".\", beginning with a "
              "letter and ending with a letter or digit",
              what, text);
}

}  // namespace

bool is_cdi_name(std::string_view text) {
  return !text.starts_with('/') && text.find('=') != std::string_view::npos;
}

Result<> check_kind(std::string_view kind) {
  const size_t slash = kind.find('/');
  if (slash == std::string_view::npos || kind.find('/', slash + 1) != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not VENDOR/CLASS", kind);
  }
  TRY(check_part("vendor", kind.substr(0, slash), kMaxVendor));
  return check_part("class", kind.substr(slash + 1), kMaxClass);
}

Result<> check_device_name(std::string_view name) {
  if (name.size() <= kMaxDevice && is_name(name, "-_.:")) return {};
  return fail(
      ErrorCode::kInvalidArgument,
      "the device \"{}\" is not of letters, digits, \"-\", \"_\", \".\" and \":\", beginning "
      "and ending with a letter or digit",
      name.substr(0, kMaxDevice));
}

Result<QualifiedName> parse_qualified_name(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view kind = text.substr(0, equals);
  const auto parsed = [&]() -> Result<> {
    if (equals == std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, "\"{}\" names no device", text);
    }
    TRY(check_kind(kind));
    return check_device_name(text.substr(equals + 1));
  }();
  if (parsed) {
    return QualifiedName{.kind = std::string(kind), .device = std::string(text.substr(equals + 1))};
  }
  return std::unexpected(
      Error(parsed.error()).hint("a CDI device is VENDOR/CLASS=NAME, such as nvidia.com/gpu=all"));
}

}  // namespace trivet::cdi
