// Base64 (RFC 4648) with padding: bytes in JSON.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet {

[[nodiscard]] std::string encode_base64(std::string_view bytes);
// kCorrupt for what encode_base64 does not print.
Result<std::string> decode_base64(std::string_view text);

}  // namespace trivet
