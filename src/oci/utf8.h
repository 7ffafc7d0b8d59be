// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trivet::oci {

// The number of bytes of the character that starts at `text[at]`; 0 if there is no valid one.
[[nodiscard]] size_t utf8_length(std::string_view text, size_t at);

// The offset of the first byte that is not valid UTF-8, or the size of the text.
[[nodiscard]] size_t find_invalid_utf8(std::string_view text);

// Appends a character; `code` must be one that UTF-8 can hold.
void append_utf8(std::string& text, char32_t code);

}  // namespace trivet::oci
