// A parsed JSON document (RFC 8259) as plain values in one arena: what `Field` looks at. The parser
// is nlohmann-json's; its events build these values, several times faster than its tree of maps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>

#include "base/result.h"

namespace trivet::oci {

// Trivially copyable; its text and children belong to the document.
struct JsonValue {
  enum class Type : uint8_t { kNull, kBool, kInt, kUint, kDouble, kString, kArray, kObject };

  Type type = Type::kNull;
  uint32_t size = 0;  // bytes of a string, elements of an array, members of an object
  union {
    bool boolean;
    int64_t integer = 0;  // kInt: a negative number
    uint64_t natural;     // kUint: any other whole number
    double real;
    const char* characters;
    const JsonValue* children;  // of an object: name, value, name, value, …
  };

  [[nodiscard]] std::string_view text() const { return {characters, size}; }
  [[nodiscard]] std::span<const JsonValue> elements() const { return {children, size}; }
  [[nodiscard]] const JsonValue& member_name(size_t i) const { return children[2 * i]; }
  [[nodiscard]] const JsonValue& member_value(size_t i) const { return children[2 * i + 1]; }
};

// Immovable: its values point into it.
class JsonDocument {
 public:
  JsonDocument() = default;
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;
  ~JsonDocument() = default;

  // Parses `text`, which must outlive the document. `what` names it in errors. Fails with
  // kLimitExceeded above `max_bytes` (below 4 GiB), with kCorrupt (and line and column) if it is no
  // JSON in valid UTF-8 or nested more than 64 deep.
  Result<> parse(std::string_view text, std::string_view what, size_t max_bytes);

  [[nodiscard]] const JsonValue& root() const { return root_; }

 private:
  std::pmr::monotonic_buffer_resource arena_;
  JsonValue root_;
};

}  // namespace trivet::oci
