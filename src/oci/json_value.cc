#include "oci/json_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/utf8.h"

namespace trivet::oci {

namespace {

constexpr int kMaxDepth = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Recursive descent over valid UTF-8. Each function leaves the position behind what it took, or
// says what was expected and returns false.
class Reader {
 public:
  Reader(std::string_view text, std::pmr::memory_resource& arena) : text_(text), arena_(&arena) {
    constexpr size_t kUsualNumberOfOpenValues = 128;
    open_.reserve(kUsualNumberOfOpenValues);
  }

  bool read_document(JsonValue& root) {
    if (!read_value(root)) return false;
    skip_space();
    return at_ == text_.size() || stop("expected the end of the document");
  }

  [[nodiscard]] size_t offset() const { return at_; }
  [[nodiscard]] std::string_view problem() const { return problem_; }

 private:
  bool stop(std::string_view problem) {
    problem_ = problem;
    return false;
  }

  // NUL at the end, and for a NUL in the document: it is nowhere allowed.
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
      ++at_;
    }
  }

  // Takes `c`, after white space, if it is next.
  bool take(char c) {
    skip_space();
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  bool read_value(JsonValue& out) {
    skip_space();
    switch (peek()) {
      case '{':
        return read_object(out);
      case '[':
        return read_array(out);
      case '"':
        return read_string(out);
      case 't':
        return read_word("true", {.type = JsonValue::Type::kBool, .boolean = true}, out);
      case 'f':
        return read_word("false", {.type = JsonValue::Type::kBool, .boolean = false}, out);
      case 'n':
        return read_word("null", {}, out);
      default:
        return read_number(out);
    }
  }

  bool read_word(std::string_view word, const JsonValue& value, JsonValue& out) {
    if (!text_.substr(at_).starts_with(word)) return stop("expected a value");
    at_ += word.size();
    out = value;
    return true;
  }

  bool read_array(JsonValue& out) {
    if (++depth_ > kMaxDepth) return stop("nested too deeply");
    ++at_;
    const size_t first = open_.size();
    if (!take(']')) {
      do {
        JsonValue element;
        if (!read_value(element)) return false;
        open_.push_back(element);
      } while (take(','));
      if (!take(']')) return stop("expected \",\" or \"]\"");
    }
    return close(JsonValue::Type::kArray, first, 1, out);
  }

  bool read_object(JsonValue& out) {
    if (++depth_ > kMaxDepth) return stop("nested too deeply");
    ++at_;
    const size_t first = open_.size();
    if (!take('}')) {
      do {
        if (!read_member()) return false;
      } while (take(','));
      if (!take('}')) return stop("expected \",\" or \"}\"");
    }
    return close(JsonValue::Type::kObject, first, 2, out);
  }

  bool read_member() {
    skip_space();
    if (peek() != '"') return stop("expected a name in quotes");
    JsonValue name;
    JsonValue value;
    if (!read_string(name)) return false;
    if (!take(':')) return stop("expected \":\"");
    if (!read_value(value)) return false;
    open_.push_back(name);
    open_.push_back(value);
    return true;
  }

  // Moves the values from `first` on into the arena, as the children of `out`.
  bool close(JsonValue::Type type, size_t first, size_t values_each, JsonValue& out) {
    --depth_;
    const size_t count = open_.size() - first;
    JsonValue* children = nullptr;
    if (count != 0) {
      children =
          static_cast<JsonValue*>(arena_->allocate(count * sizeof(JsonValue), alignof(JsonValue)));
      std::uninitialized_copy_n(open_.data() + first, count, children);
      open_.resize(first);
    }
    out = {.type = type, .size = static_cast<uint32_t>(count / values_each), .children = children};
    return true;
  }

  // Most strings hold no escape and stay where they are.
  bool read_string(JsonValue& out) {
    const size_t start = ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\') return read_escaped_string(start, out);
      if (c == '"') {
        out = string_value(text_.substr(start, at_++ - start));
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return stop("a control character in a string");
      ++at_;
    }
    return stop("a string without an end");
  }

  bool read_escaped_string(size_t start, JsonValue& out) {
    std::string decoded(text_.substr(start, at_ - start));
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') {
        auto* copy = static_cast<char*>(arena_->allocate(decoded.size(), 1));
        std::ranges::copy(decoded, copy);
        out = string_value({copy, decoded.size()});
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return stop("a control character in a string");
      if (c != '\\') {
        decoded += c;
      } else if (!read_escape(decoded)) {
        return false;
      }
    }
    return stop("a string without an end");
  }

  bool read_escape(std::string& decoded) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (peek() == 'u') return read_unicode_escape(decoded);
    const size_t index = kLetters.find(peek());
    if (index == std::string_view::npos) return stop("an unknown escape in a string");
    decoded += kMeanings[index];
    ++at_;
    return true;
  }

  // "uXXXX", or a pair of them for what is above U+FFFF.
  bool read_unicode_escape(std::string& decoded) {
    const auto first = take_code_unit();
    if (!first) return stop("expected four hex digits");
    char32_t code = *first;
    if (code >= 0xD800 && code <= 0xDFFF) {
      std::optional<char32_t> second;
      if (code <= 0xDBFF && peek() == '\\') {
        ++at_;
        second = take_code_unit();
      }
      if (!second || *second < 0xDC00 || *second > 0xDFFF) return stop("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (*second - 0xDC00);
    }
    append_utf8(decoded, code);
    return true;
  }

  std::optional<char32_t> take_code_unit() {
    constexpr size_t kDigits = 4;
    if (peek() != 'u' || text_.size() - at_ <= kDigits) return std::nullopt;
    const char* begin = text_.data() + at_ + 1;
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(begin, begin + kDigits, code, 16);
    if (error != std::errc() || end != begin + kDigits) return std::nullopt;
    at_ += 1 + kDigits;
    return code;
  }

  size_t take_digits() {
    const size_t start = at_;
    while (is_digit(peek())) ++at_;
    return at_ - start;
  }

  bool read_number(JsonValue& out) {
    const size_t start = at_;
    if (peek() == '-') ++at_;
    const bool starts_with_zero = peek() == '0';
    const size_t digits = take_digits();
    if (digits == 0) return stop("expected a value");
    if (starts_with_zero && digits > 1) return stop("a number with a leading zero");
    bool is_whole = true;
    if (peek() == '.') {
      ++at_;
      is_whole = false;
      if (take_digits() == 0) return stop("expected a digit");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      is_whole = false;
      if (peek() == '+' || peek() == '-') ++at_;
      if (take_digits() == 0) return stop("expected a digit");
    }
    out = number_value(text_.substr(start, at_ - start), is_whole);
    return true;
  }

  static JsonValue number_value(std::string_view text, bool is_whole) {
    const char* begin = text.data();
    const char* end = begin + text.size();
    if (is_whole) {
      uint64_t natural = 0;
      if (text[0] != '-' && std::from_chars(begin, end, natural).ec == std::errc()) {
        return {.type = JsonValue::Type::kUint, .natural = natural};
      }
      int64_t integer = 0;
      if (text[0] == '-' && std::from_chars(begin, end, integer).ec == std::errc()) {
        if (integer == 0) return {.type = JsonValue::Type::kUint, .natural = 0};
        return {.type = JsonValue::Type::kInt, .integer = integer};
      }
    }
    // Beyond what a double holds it stays infinite; no field of ours takes it either way.
    double real = HUGE_VAL;
    std::from_chars(begin, end, real);
    return {.type = JsonValue::Type::kDouble, .real = real};
  }

  static JsonValue string_value(std::string_view text) {
    JsonValue value{.type = JsonValue::Type::kString, .size = static_cast<uint32_t>(text.size())};
    value.characters = text.data();
    return value;
  }

  std::string_view text_;
  std::pmr::memory_resource* arena_;
  size_t at_ = 0;
  int depth_ = 0;
  std::vector<JsonValue> open_;  // children whose container has not ended yet
  std::string_view problem_;
};

[[nodiscard]] std::unexpected<Error> syntax_error(std::string_view what, std::string_view text,
                                                  size_t offset, std::string_view problem) {
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::ranges::count(before, '\n');
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return fail(ErrorCode::kCorrupt, "{}: not valid JSON: line {}, column {}: {}", what, line,
              offset - line_start + 1, problem);
}

}  // namespace

Result<> JsonDocument::parse(std::string_view text, std::string_view what, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return fail(ErrorCode::kLimitExceeded, "{}: {} bytes, more than the limit of {}", what,
                text.size(), max_bytes);
  }
  const size_t valid = find_invalid_utf8(text);
  if (valid != text.size()) return syntax_error(what, text, valid, "not UTF-8");
  Reader reader(text, arena_);
  if (!reader.read_document(root_)) {
    return syntax_error(what, text, reader.offset(), reader.problem());
  }
  return {};
}

}  // namespace trivet::oci
