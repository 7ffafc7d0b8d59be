// Reading the JSON of the OCI specifications: a document held in one block of memory, and fields of
// it that know the way they were reached, so that an error can say `mounts[2].options[0]`.
//
// This is on the start path of every container, hence a reader of its own instead of the general
// JsonView of base: measured on runc's example config.json, the whole of parse_spec takes 8 µs once
// it is warm, where JsonView's document alone takes 25 µs. The path of a field is written only when
// an error needs it.
//
// Meanings are those of Go's encoding/json, which wrote nearly all documents that come here: null
// is absent, the last of equal names counts, unknown members are left alone.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "oci/json_value.h"

namespace trivet::oci {

// One value of a document, or its absence. A Field points to the field it was reached from, so it
// must not outlive that one: pass it down, never store it.
class Field {
 public:
  Field(const JsonValue& value, std::string_view name) : value_(&value), name_(name) {}

  // False when absent or null.
  explicit operator bool() const { return value_ != nullptr; }

  // The member of this object, perhaps absent. Fails when this is no object.
  Result<Field> find(std::string_view key) const;
  // The place of a member, whether it is there or not: for error texts.
  [[nodiscard]] Field at(std::string_view key) const { return {this, nullptr, key, kNoIndex}; }

  // The value as a type; out of its range is an error. The text must hold no NUL.
  Result<> get(std::string& out) const;
  Result<> get(bool& out) const;
  template <std::integral T>
  Result<> get(T& out) const {
    if constexpr (std::is_signed_v<T>) {
      const int64_t value = TRY(as_int());
      if (!std::in_range<T>(value)) return invalid("{} is out of range", value);
      out = static_cast<T>(value);
    } else {
      const uint64_t value = TRY(as_uint());
      if (!std::in_range<T>(value)) return invalid("{} is out of range", value);
      out = static_cast<T>(value);
    }
    return {};
  }
  template <typename T>
  Result<> get(std::optional<T>& out) const {
    return get(out.emplace());
  }
  template <typename T>
  Result<> get(std::vector<T>& out) const {
    out.reserve(TRY(array_size()));
    return for_each([&](const Field& element) -> Result<> {
      T value{};
      TRY(element.get(value));
      out.push_back(std::move(value));
      return {};
    });
  }
  Result<> get(std::map<std::string, std::string>& out) const;

  // Reads the member `key`; an absent one leaves `out` as it is.
  template <typename T>
  Result<> read(std::string_view key, T& out) const {
    const Field member = TRY(find(key));
    return member ? member.get(out) : Result<>{};
  }
  // The same for a member that has to be there; an empty text counts as absent.
  template <typename T>
  Result<> read_required(std::string_view key, T& out) const {
    const Field member = TRY(find(key));
    if (!member) return at(key).invalid("missing");
    TRY(member.get(out));
    if constexpr (std::is_same_v<T, std::string>) {
      if (out.empty()) return at(key).invalid("must not be empty");
    }
    return {};
  }
  // Reads an object, or an array of objects, with the parser of its type.
  template <typename T>
  Result<> read(std::string_view key, std::optional<T>& out,
                Result<T> (*parse)(const Field&)) const {
    const Field member = TRY(find(key));
    if (member) out = TRY(parse(member));
    return {};
  }
  template <typename T>
  Result<> read(std::string_view key, std::vector<T>& out, Result<T> (*parse)(const Field&)) const {
    const Field member = TRY(find(key));
    if (!member) return {};
    out.reserve(TRY(member.array_size()));
    return member.for_each([&](const Field& element) -> Result<> {
      out.push_back(TRY(parse(element)));
      return {};
    });
  }

  // Calls `visit` with each element of this array; the first error ends it.
  template <typename Visit>
  Result<> for_each(Visit&& visit) const {
    const size_t size = TRY(array_size());
    for (size_t i = 0; i < size; ++i) {
      TRY(visit(Field(this, &value_->children[i], {}, i)));
    }
    return {};
  }
  // Calls `visit` with the name and the value of each member of this object. A name must be
  // neither empty nor hold a NUL; null members are left out.
  template <typename Visit>
  Result<> for_each_member(Visit&& visit) const {
    TRY(check_object());
    for (size_t i = 0; i < value_->size; ++i) {
      const JsonValue& value = value_->member_value(i);
      const std::string_view key = value_->member_name(i).text();
      const Field field(this, &value, key, kMapKey);
      TRY(field.check_key());
      if (value.type != JsonValue::Type::kNull) TRY(visit(key, field));
    }
    return {};
  }

  // The names of this object's members, also of those that are null: Go's map[string]struct{}.
  Result<> get_names(std::vector<std::string>& out) const;

  Result<size_t> array_size() const;
  Result<> check_object() const;

  // The way from the root: `linux.sysctl["net.ipv4.ip_forward"]`; "document" for a nameless root.
  [[nodiscard]] std::string path() const;

  // The error that this field is wrong: "PATH: TEXT".
  template <typename... Args>
  [[nodiscard]] std::unexpected<Error> invalid(fmt::format_string<Args...> format,
                                               Args&&... args) const {
    return fail(ErrorCode::kInvalidArgument, "{}: {}", path(),
                fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  // What index_ says about a field that is no array element: a member with a name of the
  // specification, or one with a name of the document's author.
  static constexpr size_t kNoIndex = SIZE_MAX;
  static constexpr size_t kMapKey = SIZE_MAX - 1;

  Field(const Field* parent, const JsonValue* value, std::string_view name, size_t index)
      : parent_(parent), value_(value), name_(name), index_(index) {}

  Result<int64_t> as_int() const;
  Result<uint64_t> as_uint() const;
  Result<> check_key() const;
  [[nodiscard]] std::unexpected<Error> not_an_integer() const;
  [[nodiscard]] std::unexpected<Error> wrong_type(std::string_view expected) const;

  const Field* parent_ = nullptr;
  const JsonValue* value_ = nullptr;
  std::string_view name_;
  size_t index_ = kNoIndex;
};

// Fails, naming the close ones, unless `value` is one of `known`.
Result<> check_known(const Field& field, std::string_view value,
                     std::span<const std::string_view> known);
// Fails unless `path` is absolute.
Result<> check_absolute(const Field& field, std::string_view path);

}  // namespace trivet::oci
