#include "oci/field.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/text.h"

namespace trivet::oci {

namespace {

std::string_view type_name(const JsonValue& value) {
  switch (value.type) {
    case JsonValue::Type::kNull:
      return "null";
    case JsonValue::Type::kBool:
      return "true or false";
    case JsonValue::Type::kString:
      return "a string";
    case JsonValue::Type::kArray:
      return "an array";
    case JsonValue::Type::kObject:
      return "an object";
    default:
      return "a number";
  }
}

// A name that the document's author chose, for an error text: quoted, without control characters
// and not endless.
std::string quote_key(std::string_view key) {
  constexpr size_t kLongest = 64;
  std::string quoted = fmt::format("[\"{}\"]", key.substr(0, kLongest));
  for (char& c : quoted) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return quoted;
}

}  // namespace

Result<Field> Field::find(std::string_view key) const {
  TRY(check_object());
  for (size_t i = value_->size; i-- > 0;) {
    if (value_->member_name(i).text() != key) continue;
    const JsonValue& value = value_->member_value(i);
    return Field(this, value.type == JsonValue::Type::kNull ? nullptr : &value, key, kNoIndex);
  }
  return at(key);
}

Result<> Field::get(std::string& out) const {
  if (value_->type != JsonValue::Type::kString) return wrong_type("a string");
  if (value_->text().find('\0') != std::string_view::npos) return invalid("contains a NUL byte");
  out = value_->text();
  return {};
}

Result<> Field::get(bool& out) const {
  if (value_->type != JsonValue::Type::kBool) return wrong_type("true or false");
  out = value_->boolean;
  return {};
}

Result<> Field::get(std::map<std::string, std::string>& out) const {
  return for_each_member([&](std::string_view key, const Field& member) -> Result<> {
    return member.get(out[std::string(key)]);
  });
}

Result<> Field::get_names(std::vector<std::string>& out) const {
  TRY(check_object());
  for (size_t i = 0; i < value_->size; ++i) {
    const std::string_view name = value_->member_name(i).text();
    TRY(Field(this, nullptr, name, kMapKey).check_key());
    out.emplace_back(name);
  }
  return {};
}

Result<int64_t> Field::as_int() const {
  if (value_->type == JsonValue::Type::kInt) return value_->integer;
  if (value_->type != JsonValue::Type::kUint) return not_an_integer();
  if (value_->natural > INT64_MAX) return invalid("{} is out of range", value_->natural);
  return static_cast<int64_t>(value_->natural);
}

Result<uint64_t> Field::as_uint() const {
  if (value_->type == JsonValue::Type::kUint) return value_->natural;
  if (value_->type == JsonValue::Type::kInt) {
    return invalid("{} is out of range", value_->integer);
  }
  return not_an_integer();
}

std::unexpected<Error> Field::not_an_integer() const {
  if (value_->type != JsonValue::Type::kDouble) return wrong_type("a whole number");
  if (std::fabs(value_->real) >= 0x1p63) return invalid("{} is out of range", value_->real);
  return invalid("expected a whole number, not {}", value_->real);
}

std::unexpected<Error> Field::wrong_type(std::string_view expected) const {
  return invalid("expected {}, not {}", expected, type_name(*value_));
}

Result<size_t> Field::array_size() const {
  if (value_->type != JsonValue::Type::kArray) return wrong_type("an array");
  return value_->size;
}

Result<> Field::check_object() const {
  if (value_->type != JsonValue::Type::kObject) return wrong_type("an object");
  return {};
}

Result<> Field::check_key() const {
  if (name_.empty()) return parent_->invalid("has a member with an empty name");
  if (name_.find('\0') != std::string_view::npos) return invalid("its name contains a NUL byte");
  return {};
}

std::string Field::path() const {
  if (parent_ == nullptr) return name_.empty() ? "document" : std::string(name_);
  const bool below_nameless_root = parent_->parent_ == nullptr && parent_->name_.empty();
  std::string path = below_nameless_root ? std::string() : parent_->path();
  if (index_ == kMapKey) return path + quote_key(name_);
  if (index_ != kNoIndex) return path + fmt::format("[{}]", index_);
  if (!path.empty()) path += '.';
  return path.append(name_);
}

Result<> check_known(const Field& field, std::string_view value,
                     std::span<const std::string_view> known) {
  if (std::ranges::find(known, value) != known.end()) return {};
  const std::vector<std::string> names(known.begin(), known.end());
  const std::string close = nearest_name(value, names);
  Error error = field.invalid("unknown value \"{}\"", value).error();
  return std::unexpected(std::move(error).hint(close.empty()
                                                   ? fmt::format("known are {}", join(names, ", "))
                                                   : fmt::format("did you mean \"{}\"?", close)));
}

Result<> check_absolute(const Field& field, std::string_view path) {
  if (path.starts_with('/')) return {};
  return field.invalid("must be an absolute path, not \"{}\"", path);
}

}  // namespace trivet::oci
