// Changing JSON that a person has written: the text stays as it is, but for what is put in or taken
// out, with its order, its spacing and its numbers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace trivet::install {

using OrderedJson = nlohmann::ordered_json;

// A document whose root is an object. The path of a member is the keys that lead to it.
class JsonText {
 public:
  using Path = std::vector<std::string>;

  // A text of white space alone counts as {}: so Docker takes it. kCorrupt with "FILE:LINE:COLUMN",
  // also for an object with a key twice, of which readers take different ones.
  static Result<JsonText> parse(std::string text, std::string file);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const OrderedJson& value() const { return value_; }
  // Nothing when it, or one above it, is absent.
  [[nodiscard]] const OrderedJson* find(const Path& path) const;

  // Puts in a member behind the last one, with objects above it where they are missing, or gives an
  // existing one another value. kWrongState when one above it is no object.
  Result<> set(const Path& path, const OrderedJson& value);
  // Takes out a member with one comma. One that is not there is fine.
  Result<> remove(const Path& path);

 private:
  JsonText(std::string text, std::string file) : text_(std::move(text)), file_(std::move(file)) {}
  Result<> reparse();

  std::string text_;
  std::string file_;
  OrderedJson value_;
};

}  // namespace trivet::install
