// Values of annotations in GVariant's text format, the part of it that properties of a scope need.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "linux/systemd_plan.h"

namespace trivet::systemd {

namespace {

struct Keyword {
  std::string_view word;
  char type;
};
constexpr Keyword kKeywords[] = {
    {"boolean", 'b'}, {"byte", 'y'},       {"int16", 'n'},     {"uint16", 'q'}, {"int32", 'i'},
    {"uint32", 'u'},  {"int64", 'x'},      {"uint64", 't'},    {"double", 'd'}, {"string", 's'},
    {"handle", 'i'},  {"objectpath", 'o'}, {"signature", 'g'},
};
constexpr size_t kMaxDepth = 16;

template <typename T>
bool is_number(const std::string& word) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc{} && end == word.data() + word.size();
}

bool fits(char type, const std::string& word) {
  switch (type) {
    case 'y':
      return is_number<uint8_t>(word);
    case 'n':
      return is_number<int16_t>(word);
    case 'q':
      return is_number<uint16_t>(word);
    case 'i':
      return is_number<int32_t>(word);
    case 'u':
      return is_number<uint32_t>(word);
    case 'x':
      return is_number<int64_t>(word);
    case 't':
      return is_number<uint64_t>(word);
    case 'd':
      return is_number<double>(word);
    default:
      return false;
  }
}

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '-' || c == '.';
}

// Appends words, returns signatures.
class ValueParser {
 public:
  explicit ValueParser(std::string_view text) : rest_(text) {}

  Result<Property> parse(std::string name) {
    Property property{.name = std::move(name), .signature = "", .words = {}};
    property.signature = TRY(value("", property.words, 0));
    skip_blanks();
    if (!rest_.empty()) return wrong("something follows the value");
    return property;
  }

 private:
  static std::unexpected<Error> wrong(std::string_view why) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, std::string(why))
            .hint("values are in GVariant's text format: true, 'text', uint64 5, ['a', 'b']"));
  }

  void skip_blanks() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t'))
      rest_.remove_prefix(1);
  }
  bool take(char c) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string take_word() {
    const auto end = std::ranges::find_if_not(rest_, is_word_character);
    std::string word(rest_.begin(), end);
    rest_.remove_prefix(word.size());
    return word;
  }

  // `wanted` is the type that the context demands; empty: as the text says.
  // NOLINTNEXTLINE(misc-no-recursion): to kMaxDepth
  Result<std::string> value(const std::string& wanted, std::vector<std::string>& words,
                            size_t depth) {
    if (depth > kMaxDepth) return wrong("too deeply nested");
    skip_blanks();
    if (rest_.empty()) return wrong("a value is missing");
    if (rest_.front() == '@') return annotated(wanted, words, depth);
    if (rest_.front() == '\'' || rest_.front() == '"') return string(wanted, words);
    if (take('[')) return array(wanted, words, depth);
    if (!is_word_character(rest_.front())) {
      return wrong(fmt::format("unexpected \"{}\"", rest_.front()));
    }
    const std::string word = take_word();
    if (const auto* found = std::ranges::find(kKeywords, word, &Keyword::word);
        found != std::end(kKeywords)) {
      const std::string type(1, found->type);
      if (!wanted.empty() && wanted != type) return wrong("the types differ");
      return value(type, words, depth + 1);
    }
    return scalar(word, wanted, words);
  }

  // "@as []"
  // NOLINTNEXTLINE(misc-no-recursion): to kMaxDepth
  Result<std::string> annotated(const std::string& wanted, std::vector<std::string>& words,
                                size_t depth) {
    rest_.remove_prefix(1);
    const std::string type = take_word();
    if (type.empty() || (!wanted.empty() && wanted != type)) return wrong("the types differ");
    return value(type, words, depth + 1);
  }

  Result<std::string> string(const std::string& wanted, std::vector<std::string>& words) {
    const char quote = rest_.front();
    rest_.remove_prefix(1);
    std::string text;
    while (!rest_.empty() && rest_.front() != quote) {
      if (rest_.front() == '\\') {
        rest_.remove_prefix(1);
        if (rest_.empty()) break;
        text += unescaped(rest_.front());
      } else {
        text += rest_.front();
      }
      rest_.remove_prefix(1);
    }
    if (rest_.empty()) return wrong("the text does not end");
    rest_.remove_prefix(1);
    std::string type = wanted.empty() ? "s" : wanted;
    if (type != "s" && type != "o" && type != "g") return wrong("the types differ");
    words.push_back(std::move(text));
    return type;
  }
  static char unescaped(char c) {
    constexpr std::string_view kLetters = "abfnrtv";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v";
    const size_t at = kLetters.find(c);
    return at == std::string_view::npos ? c : kMeanings[at];
  }

  // The first element decides for the others.
  // NOLINTNEXTLINE(misc-no-recursion): to kMaxDepth
  Result<std::string> array(const std::string& wanted, std::vector<std::string>& words,
                            size_t depth) {
    if (!wanted.empty() && wanted.front() != 'a') return wrong("the types differ");
    std::string element = wanted.empty() ? "" : wanted.substr(1);
    std::vector<std::string> elements;
    size_t count = 0;
    while (!take(']')) {
      if (count > 0 && !take(',')) return wrong("a \",\" or \"]\" is missing");
      element = TRY(value(element, elements, depth + 1));
      ++count;
    }
    if (element.empty()) return wrong("the type of an empty list is unknown (\"@as []\" says it)");
    words.push_back(fmt::format("{}", count));
    words.insert(words.end(), elements.begin(), elements.end());
    return "a" + element;
  }

  static Result<std::string> scalar(const std::string& word, const std::string& wanted,
                                    std::vector<std::string>& words) {
    if (word == "true" || word == "false") {
      if (!wanted.empty() && wanted != "b") return wrong("the types differ");
      words.push_back(word);
      return "b";
    }
    std::string type = wanted;
    // GVariant takes a number for an int32 unless it says otherwise; a larger one fits nothing
    // else that it could mean.
    for (const char guess : {'i', 'x', 't', 'd'}) {
      if (type.empty() && fits(guess, word)) type = std::string(1, guess);
    }
    if (type.size() != 1 || !fits(type.front(), word)) {
      return wrong(fmt::format("\"{}\" is no value{}", word,
                               type.empty() ? "" : fmt::format(" of type \"{}\"", type)));
    }
    words.push_back(word);
    return type;
  }

  std::string_view rest_;
};

}  // namespace

Result<Property> parse_value(std::string name, std::string_view text) {
  return ValueParser(text).parse(std::move(name));
}

}  // namespace trivet::systemd
