#include "systemd/bus_message.h"

#include <charconv>
#include <cstdint>

namespace trivet::systemd {

namespace {

std::unexpected<Error> malformed(std::string_view signature) {
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is no signature", signature);
}

Result<> check(int result, std::string_view what) {
  if (result >= 0) return {};
  return std::unexpected(Error::from_errno(-result, std::string(what)));
}

// The length of the first complete type of a signature; 0 when there is none.
size_t type_length(std::string_view signature) {
  if (signature.empty()) return 0;
  if (signature.front() == 'a') {
    const size_t element = type_length(signature.substr(1));
    return element == 0 ? 0 : 1 + element;
  }
  if (signature.front() != '(') return 1;
  size_t at = 1;
  while (at < signature.size() && signature[at] != ')') {
    const size_t member = type_length(signature.substr(at));
    if (member == 0) return 0;
    at += member;
  }
  return at < signature.size() && at > 1 ? at + 1 : 0;
}

template <typename T>
Result<> append_number(sd_bus_message* message, char type, const std::string& word) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no value of type \"{}\"", word, type);
  }
  return check(sd_bus_message_append_basic(message, type, &value), "append a number");
}

Result<> append_bool(sd_bus_message* message, const std::string& word) {
  if (word != "true" && word != "false") {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is neither true nor false", word);
  }
  const int value = word == "true" ? 1 : 0;
  return check(sd_bus_message_append_basic(message, 'b', &value), "append a boolean");
}

Result<> append_basic(sd_bus_message* message, char type, const std::string& word) {
  switch (type) {
    case 'b':
      return append_bool(message, word);
    case 'y':
      return append_number<uint8_t>(message, type, word);
    case 'n':
      return append_number<int16_t>(message, type, word);
    case 'q':
      return append_number<uint16_t>(message, type, word);
    case 'i':
      return append_number<int32_t>(message, type, word);
    case 'u':
      return append_number<uint32_t>(message, type, word);
    case 'x':
      return append_number<int64_t>(message, type, word);
    case 't':
      return append_number<uint64_t>(message, type, word);
    case 'd':
      return append_number<double>(message, type, word);
    case 's':
    case 'o':
    case 'g':
      return check(sd_bus_message_append_basic(message, type, word.c_str()),
                   fmt::format("append \"{}\" as \"{}\"", word, type));
    default:
      return malformed(std::string_view(&type, 1));
  }
}

// NOLINTNEXTLINE(misc-no-recursion): types nest, to a depth that the signature's length limits
Result<> append_value(sd_bus_message* message, std::string_view type, Words& words) {
  const std::string inner(type.front() == '(' ? type.substr(1, type.size() - 2) : type.substr(1));
  if (type.front() == 'v') {
    const std::string signature = TRY(next_word(words, "a signature"));
    if (type_length(signature) != signature.size()) return malformed(signature);
    TRY(check(sd_bus_message_open_container(message, 'v', signature.c_str()), "open a variant"));
    TRY(append_values(message, signature, words));
  } else if (type.front() == '(') {
    TRY(check(sd_bus_message_open_container(message, 'r', inner.c_str()), "open a structure"));
    TRY(append_values(message, inner, words));
  } else if (type.front() == 'a') {
    const std::string word = TRY(next_word(words, "the length of an array"));
    size_t count = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
    if (error != std::errc{} || end != word.data() + word.size()) {
      return fail(ErrorCode::kInvalidArgument, "\"{}\" is no length of an array", word);
    }
    TRY(check(sd_bus_message_open_container(message, 'a', inner.c_str()), "open an array"));
    for (; count > 0; --count) TRY(append_values(message, inner, words));
  } else {
    return append_basic(message, type.front(), TRY(next_word(words, "a value")));
  }
  return check(sd_bus_message_close_container(message), "close a container");
}

}  // namespace

Result<std::string> next_word(Words& words, std::string_view what) {
  if (words.empty()) return fail(ErrorCode::kInvalidArgument, "{} is missing", what);
  std::string word = words.front();
  words = words.subspan(1);
  return word;
}

// NOLINTNEXTLINE(misc-no-recursion): as above
Result<> append_values(sd_bus_message* message, std::string_view signature, Words& words) {
  while (!signature.empty()) {
    const size_t length = type_length(signature);
    if (length == 0) return malformed(signature);
    TRY(append_value(message, signature.substr(0, length), words));
    signature.remove_prefix(length);
  }
  return {};
}

Result<> append_properties(sd_bus_message* message, Words words) {
  TRY(check(sd_bus_message_open_container(message, 'a', "(sv)"), "open the properties"));
  while (!words.empty()) {
    const std::string name = words.front();
    TRY_IN(append_values(message, "(sv)", words), "property {}", name);
  }
  return check(sd_bus_message_close_container(message), "close the properties");
}

}  // namespace trivet::systemd
