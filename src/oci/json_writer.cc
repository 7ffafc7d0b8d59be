#include "oci/json_writer.h"

#include "oci/utf8.h"

namespace trivet::oci {

void JsonWriter::open(char bracket) {
  text_ += bracket;
  ++depth_;
  is_first_ = true;
}

void JsonWriter::close(char bracket) {
  --depth_;
  if (!is_first_ && indent_ != 0) text_.append("\n").append(size_t{indent_} * depth_, ' ');
  text_ += bracket;
  is_first_ = false;
}

void JsonWriter::begin_item() {
  if (!is_first_) text_ += ',';
  is_first_ = false;
  if (indent_ != 0) text_.append("\n").append(size_t{indent_} * depth_, ' ');
}

void JsonWriter::write_key(std::string_view key) {
  begin_item();
  write(key);
  text_ += indent_ != 0 ? ": " : ":";
}

void JsonWriter::write(std::string_view value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::string_view kEscaped = "\"\\\b\f\n\r\t";
  constexpr std::string_view kLetters = "\"\\bfnrt";
  text_ += '"';
  for (size_t at = 0; at < value.size();) {
    const auto byte = static_cast<unsigned char>(value[at]);
    const size_t length = utf8_length(value, at);
    if (length == 0) {
      append_utf8(text_, 0xFFFD);
    } else if (const size_t escape = kEscaped.find(value[at]); escape != std::string_view::npos) {
      text_.append("\\").append(1, kLetters[escape]);
    } else if (byte < 0x20) {
      text_.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 0xF]);
    } else {
      text_.append(value.substr(at, length));
    }
    at += length == 0 ? 1 : length;
  }
  text_ += '"';
}

}  // namespace trivet::oci
