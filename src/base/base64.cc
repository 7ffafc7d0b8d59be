#include "base/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace trivet {

namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> kValues = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) {
    values.at(static_cast<unsigned char>(kDigits[i])) = static_cast<int8_t>(i);
  }
  return values;
}();

std::unexpected<Error> not_base64() {
  return fail(ErrorCode::kCorrupt, "not base64");
}

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8U | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kDigits[group >> (18 - 6 * j) & 0x3FU] : '=';
    }
  }
  return text;
}

Result<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return not_base64();
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const size_t missing = i + 4 == text.size() ? padding : 0;
    uint32_t group = 0;
    for (size_t j = 0; j < 4; ++j) {
      const int8_t value = j < 4 - missing ? kValues[static_cast<unsigned char>(text[i + j])] : 0;
      if (value < 0) return not_base64();
      group = group << 6U | static_cast<uint32_t>(value);
    }
    for (size_t j = 0; j < 3 - missing; ++j) bytes += static_cast<char>(group >> (16 - 8 * j));
    // One text for the same bytes: what is padded away has to be zero.
    if (missing != 0 && (group & ((1U << (8 * missing)) - 1)) != 0) return not_base64();
  }
  return bytes;
}

}  // namespace trivet
