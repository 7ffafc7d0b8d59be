// Reading JSON of unknown quality: typed access whose errors name the path of the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace trivet {

using Json = nlohmann::json;

// Parses a whole document. `what` names it in the error. Nesting deeper than 64 is refused.
Result<Json> parse_json(std::string_view text, std::string_view what);

// A value of a document with the path that leads to it, for error texts such as
// `process.args[2]: expected a string, not a number`.
class JsonView {
 public:
  JsonView(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  [[nodiscard]] const Json& raw() const { return *value_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  // The member, or nothing when it is absent or null. Fails when this is not an object.
  Result<std::optional<JsonView>> find(std::string_view key) const;
  // Elements of an array, members of an object.
  Result<std::vector<JsonView>> elements() const;
  Result<std::vector<std::pair<std::string, JsonView>>> members() const;

  Result<std::string> as_string() const;
  Result<bool> as_bool() const;
  Result<int64_t> as_int() const;
  Result<uint64_t> as_uint() const;

  // Member shorthands: absent or null leaves `out` as it is.
  Result<> read(std::string_view key, std::string& out) const;
  Result<> read(std::string_view key, bool& out) const;
  Result<> read(std::string_view key, std::vector<std::string>& out) const;
  template <typename T>
    requires std::is_integral_v<T>
  Result<> read(std::string_view key, T& out) const {
    const auto member = TRY(find(key));
    if (!member) return {};
    if constexpr (std::is_signed_v<T>) {
      const int64_t value = TRY(member->as_int());
      if (!std::in_range<T>(value)) return member->out_of_range();
      out = static_cast<T>(value);
    } else {
      const uint64_t value = TRY(member->as_uint());
      if (!std::in_range<T>(value)) return member->out_of_range();
      out = static_cast<T>(value);
    }
    return {};
  }
  template <typename T>
  Result<> read(std::string_view key, std::optional<T>& out) const {
    const auto member = TRY(find(key));
    if (!member) return {};
    T value{};
    TRY(read(key, value));
    out = std::move(value);
    return {};
  }

  [[nodiscard]] std::unexpected<Error> wrong(std::string_view expected) const;

 private:
  [[nodiscard]] std::unexpected<Error> out_of_range() const;

  const Json* value_;
  std::string path_;
};

}  // namespace trivet
