#include "oci/json_writer.h"

#include <nlohmann/json.hpp>

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
  text_ += nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace trivet::oci
