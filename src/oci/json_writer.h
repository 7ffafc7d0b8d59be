// Writing the JSON of the OCI specifications: members in the order in which they are written,
// absent ones left out.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trivet::oci {

class JsonWriter {
 public:
  // On one line, or for people with `indent` spaces a level.
  explicit JsonWriter(unsigned indent = 0) : indent_(indent) {}

  void begin_object() { open('{'); }
  void begin_object(std::string_view key) {
    write_key(key);
    open('{');
  }
  void end_object() { close('}'); }

  // A member that is always written.
  template <typename T>
  void member(std::string_view key, const T& value) {
    write_key(key);
    write(value);
  }
  // A member that is left out when it is empty, false or zero, as Go's `omitempty` does.
  template <typename T>
  void optional_member(std::string_view key, const T& value) {
    if (!is_empty(value)) member(key, value);
  }
  // An object, or an array of objects, each written by `print`; left out when absent or empty.
  template <typename T>
  void object(std::string_view key, const std::optional<T>& value,
              void (*print)(JsonWriter&, const T&)) {
    if (value) object(key, *value, print);
  }
  template <typename T>
  void object(std::string_view key, const T& value, void (*print)(JsonWriter&, const T&)) {
    begin_object(key);
    print(*this, value);
    end_object();
  }
  template <typename T>
  void objects(std::string_view key, const std::vector<T>& values,
               void (*print)(JsonWriter&, const T&)) {
    if (!values.empty()) required_objects(key, values, print);
  }
  // The same, but an empty array is written as one.
  template <typename T>
  void required_objects(std::string_view key, const std::vector<T>& values,
                        void (*print)(JsonWriter&, const T&)) {
    write_key(key);
    open('[');
    for (const T& value : values) {
      begin_item();
      open('{');
      print(*this, value);
      close('}');
    }
    close(']');
  }

  // What was written.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void open(char bracket);
  void close(char bracket);
  // A comma, if it is not the first, and a new line.
  void begin_item();
  void write_key(std::string_view key);
  // Bytes that are not UTF-8 become U+FFFD, as in Go.
  void write(std::string_view value);
  void write(const std::string& value) { write(std::string_view(value)); }
  void write(const char* value) { write(std::string_view(value)); }
  void write(bool value) { text_ += value ? "true" : "false"; }
  template <std::integral T>
  void write(T value) {
    text_ += std::to_string(value);
  }
  template <typename T>
  void write(const std::optional<T>& value) {
    write(*value);
  }
  template <typename T>
  void write(const std::vector<T>& values) {
    open('[');
    for (const T& value : values) {
      begin_item();
      write(value);
    }
    close(']');
  }
  void write(const std::map<std::string, std::string>& values) {
    open('{');
    for (const auto& [key, value] : values) member(key, value);
    close('}');
  }

  template <typename T>
  static bool is_empty(const T& value) {
    if constexpr (std::integral<T>) {
      return value == 0;
    } else if constexpr (requires { value.has_value(); }) {
      return !value.has_value();
    } else {
      return value.empty();
    }
  }

  std::string text_;
  unsigned indent_;
  unsigned depth_ = 0;
  bool is_first_ = true;  // of the items of the innermost bracket
};

}  // namespace trivet::oci
