#include "oci/json_writer.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace trivet::oci {

namespace {

// Nothing to be escaped in it, as in almost every text of a configuration.
bool is_plain(std::string_view text) {
  return std::ranges::all_of(text,
                             [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
}

}  // namespace

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
  if (is_plain(value)) {
    text_.append(1, '"').append(value).append(1, '"');
    return;
  }
  text_ += nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace trivet::oci
