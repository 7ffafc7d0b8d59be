// Letters and digits of ASCII, whatever locale the calling program has chosen.
#pragma once

namespace trivet::transport {

constexpr bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace trivet::transport
