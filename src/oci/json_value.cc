#include "oci/json_value.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace trivet::oci {

namespace {

constexpr int kMaxDepth = 64;

// Receives the library's events and builds the values. Each event returns whether to go on.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(std::pmr::memory_resource& arena) : arena_(&arena) {
    constexpr size_t kUsualNumberOfOpenValues = 128;
    open_.reserve(kUsualNumberOfOpenValues);
  }

  [[nodiscard]] const JsonValue& root() const { return open_.front(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }

  bool null() override { return add({}); }
  bool boolean(bool value) override {
    return add({.type = JsonValue::Type::kBool, .boolean = value});
  }
  bool number_integer(int64_t value) override {
    if (value >= 0) return number_unsigned(static_cast<uint64_t>(value));  // "-0"
    return add({.type = JsonValue::Type::kInt, .integer = value});
  }
  bool number_unsigned(uint64_t value) override {
    return add({.type = JsonValue::Type::kUint, .natural = value});
  }
  bool number_float(double value, const std::string& /*text*/) override {
    return add({.type = JsonValue::Type::kDouble, .real = value});
  }
  bool string(std::string& value) override {
    auto* copy = static_cast<char*>(arena_->allocate(value.size(), 1));
    std::ranges::copy(value, copy);
    return add({.type = JsonValue::Type::kString,
                .size = static_cast<uint32_t>(value.size()),
                .characters = copy});
  }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return false; }  // JSON text has none
  bool key(std::string& name) override { return string(name); }

  bool start_object(size_t /*unknown*/) override { return start(); }
  bool start_array(size_t /*unknown*/) override { return start(); }
  bool end_object() override { return end(JsonValue::Type::kObject, 2); }
  bool end_array() override { return end(JsonValue::Type::kArray, 1); }

  bool parse_error(size_t /*position*/, const std::string& /*last*/,
                   const nlohmann::detail::exception& error) override {
    problem_ = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 1: …"
    constexpr std::string_view kPrefix = "parse error at ";
    const size_t prefix = problem_.find(kPrefix);
    if (prefix != std::string::npos) problem_.erase(0, prefix + kPrefix.size());
    return false;
  }

 private:
  bool add(const JsonValue& value) {
    open_.push_back(value);
    return true;
  }

  bool start() {
    if (firsts_.size() == kMaxDepth) {
      problem_ = "nested too deeply";
      return false;
    }
    firsts_.push_back(open_.size());
    return true;
  }

  // Moves the children of the value that ends into the arena.
  bool end(JsonValue::Type type, size_t values_each) {
    const size_t first = firsts_.back();
    firsts_.pop_back();
    const size_t count = open_.size() - first;
    JsonValue* children = nullptr;
    if (count != 0) {
      children =
          static_cast<JsonValue*>(arena_->allocate(count * sizeof(JsonValue), alignof(JsonValue)));
      std::uninitialized_copy_n(open_.data() + first, count, children);
      open_.resize(first);
    }
    return add(
        {.type = type, .size = static_cast<uint32_t>(count / values_each), .children = children});
  }

  std::pmr::memory_resource* arena_;
  std::vector<JsonValue> open_;  // children whose container has not ended yet
  std::vector<size_t> firsts_;   // for each of those containers, its first child in open_
  std::string problem_;
};

}  // namespace

Result<> JsonDocument::parse(std::string_view text, std::string_view what, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return fail(ErrorCode::kLimitExceeded, "{}: {} bytes, more than the limit of {}", what,
                text.size(), max_bytes);
  }
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    // The library would take it for the end.
    return fail(ErrorCode::kCorrupt, "{}: not valid JSON: a NUL at offset {}", what, nul);
  }
  Builder builder(arena_);
  if (!nlohmann::json::sax_parse(text, &builder)) {
    return fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, builder.problem());
  }
  root_ = builder.root();
  return {};
}

}  // namespace trivet::oci
