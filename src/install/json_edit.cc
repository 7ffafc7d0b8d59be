#include "install/json_edit.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace trivet::install {

namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Where the parts of a member are in the text.
struct Member {
  std::string key;
  size_t begin = 0;  // of the key's quote
  size_t value = 0;
  size_t end = 0;  // behind the value
};
struct Object {
  size_t begin = 0;  // of its brace
  size_t end = 0;    // behind the other
  std::vector<Member> members;
};

// Finds its way in a text that is known to be valid.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  [[nodiscard]] size_t skip_space(size_t at) const {
    return std::min(text_.find_first_not_of(kSpace, at), text_.size());
  }

  [[nodiscard]] size_t skip_string(size_t at) const {
    for (++at; at < text_.size() && text_[at] != '"'; ++at) {
      if (text_[at] == '\\') ++at;
    }
    return at + 1;
  }

  [[nodiscard]] size_t skip_value(size_t at) const {
    if (text_[at] == '"') return skip_string(at);
    if (text_[at] != '{' && text_[at] != '[') {
      return std::min(text_.find_first_of(",]} \t\r\n", at), text_.size());
    }
    size_t depth = 0;
    do {
      const char byte = text_[at];
      if (byte == '"') {
        at = skip_string(at);
        continue;
      }
      if (byte == '{' || byte == '[') ++depth;
      if (byte == '}' || byte == ']') --depth;
      ++at;
    } while (depth > 0 && at < text_.size());
    return at;
  }

  [[nodiscard]] Object object(size_t at) const {
    Object object{.begin = at};
    at = skip_space(at + 1);
    while (at < text_.size() && text_[at] == '"') {
      Member member{.begin = at};
      const size_t key_end = skip_string(at);
      member.key = Json::parse(text_.substr(at, key_end - at), nullptr, false).get<std::string>();
      member.value = skip_space(skip_space(key_end) + 1);
      member.end = skip_value(member.value);
      at = skip_space(member.end);
      if (text_[at] == ',') at = skip_space(at + 1);
      object.members.push_back(std::move(member));
    }
    object.end = at + 1;
    return object;
  }

  [[nodiscard]] Object root() const {
    return object(skip_space(text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0));
  }

 private:
  std::string_view text_;
};

std::string place_of(std::string_view text, size_t offset) {
  const std::string_view head = text.substr(0, std::min(offset, text.size()));
  const size_t line_start = head.rfind('\n') + 1;
  return fmt::format("{}:{}", std::count(head.begin(), head.end(), '\n') + 1,
                     head.size() - line_start + 1);
}

// The white space in front of what stands at `at`, if nothing else is on its line.
std::string_view indent_at(std::string_view text, size_t at) {
  const size_t line_start = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
  const std::string_view indent = text.substr(line_start, at - line_start);
  return indent.find_first_not_of(" \t") == std::string_view::npos ? indent : std::string_view{};
}

bool spans_lines(std::string_view text, size_t begin, size_t end) {
  return text.substr(begin, end - begin).find('\n') != std::string_view::npos;
}

// How the document is written: on one line, or with this much more white space a level.
struct Layout {
  bool lines = true;
  std::string unit = "  ";
};

Layout layout_of(std::string_view text, const Object& root) {
  if (root.members.empty()) return {};
  if (!spans_lines(text, root.begin, root.members.front().begin)) return {.lines = false};
  const std::string_view indent = indent_at(text, root.members.front().begin);
  return {.lines = true, .unit = indent.empty() ? "  " : std::string(indent)};
}

std::string printed(const OrderedJson& value, const Layout& layout, std::string_view indent) {
  if (!layout.lines) return value.dump();
  const bool tabs = layout.unit.front() == '\t';
  const std::string text = value.dump(static_cast<int>(layout.unit.size()), tabs ? '\t' : ' ');
  std::string shifted;
  for (const char byte : text) {
    shifted += byte;
    if (byte == '\n') shifted += indent;
  }
  return shifted;
}

const Member* find_member(const Object& object, const std::string& key) {
  const auto found = std::ranges::find(object.members, key, &Member::key);
  return found == object.members.end() ? nullptr : &*found;
}

// `text` with a further member in `object`, which is in `depth` others.
std::string with_member(const std::string& text, const Object& object, size_t depth,
                        const std::string& key, const OrderedJson& value, const Layout& layout) {
  const std::string name = OrderedJson(key).dump() + ": ";
  if (object.members.empty()) {
    if (!layout.lines) {
      return text.substr(0, object.begin + 1) + name + printed(value, layout, "") +
             text.substr(object.end - 1);
    }
    std::string outer;
    for (size_t i = 0; i < depth; ++i) outer += layout.unit;
    const std::string inner = outer + layout.unit;
    return fmt::format("{}\n{}{}{}\n{}{}", text.substr(0, object.begin + 1), inner, name,
                       printed(value, layout, inner), outer, text.substr(object.end - 1));
  }
  const Member& last = object.members.back();
  const bool lines = layout.lines && spans_lines(text, object.begin, last.begin);
  const std::string indent(indent_at(text, last.begin));
  const Layout here{.lines = lines, .unit = layout.unit};
  return text.substr(0, last.end) + (lines ? ",\n" + indent : ", ") + name +
         printed(value, here, indent) + text.substr(last.end);
}

Result<> check_keys(const Object& object, std::string_view text, const std::string& file) {
  for (const Member& member : object.members) {
    if (find_member(object, member.key) == &member) continue;
    return fail(ErrorCode::kCorrupt, "{}:{}: the key \"{}\" is there twice", file,
                place_of(text, member.begin), member.key);
  }
  return {};
}

// What the library says without the position, which is told in front.
std::string reason_of(const Json::parse_error& error) {
  const std::string_view text = error.what();
  const size_t colon = text.find(": ");
  return std::string(colon == std::string_view::npos ? text : text.substr(colon + 2));
}

Result<OrderedJson> parse_ordered(const std::string& text, const std::string& file) {
  // The library reports errors by exceptions; they end here.
  try {
    return OrderedJson::parse(text);
  } catch (const Json::parse_error& error) {
    return fail(ErrorCode::kCorrupt, "{}:{}: not valid JSON: {}", file,
                place_of(text, error.byte > 0 ? error.byte - 1 : 0), reason_of(error));
  } catch (const Json::exception& error) {
    return fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", file, error.what());
  }
}

}  // namespace

Result<JsonText> JsonText::parse(std::string text, std::string file) {
  if (trim(text).empty()) text = "{}\n";
  JsonText document(std::move(text), std::move(file));
  TRY(document.reparse());
  return document;
}

Result<> JsonText::reparse() {
  value_ = TRY(parse_ordered(text_, file_));
  // It refuses what is nested so deeply that printing it would take too much of the stack.
  TRY(parse_json(text_, file_));
  if (!value_.is_object()) {
    return fail(ErrorCode::kCorrupt, "{}:{}: not a JSON object", file_,
                place_of(text_, Scanner(text_).skip_space(0)));
  }
  const Scanner scanner(text_);
  const Object root = scanner.root();
  TRY(check_keys(root, text_, file_));
  for (const Member& member : root.members) {
    if (text_[member.value] != '{') continue;
    TRY(check_keys(scanner.object(member.value), text_, file_));
  }
  return {};
}

const OrderedJson* JsonText::find(const Path& path) const {
  const OrderedJson* value = &value_;
  for (const std::string& key : path) {
    if (!value->is_object()) return nullptr;
    const auto found = value->find(key);
    if (found == value->end()) return nullptr;
    value = &*found;
  }
  return value;
}

Result<> JsonText::set(const Path& path, const OrderedJson& value) {
  const Scanner scanner(text_);
  Object object = scanner.root();
  const Layout layout = layout_of(text_, object);
  for (size_t depth = 0; depth < path.size(); ++depth) {
    const bool last = depth + 1 == path.size();
    const Member* member = find_member(object, path[depth]);
    if (member == nullptr) {
      OrderedJson inner = value;
      for (size_t i = path.size() - 1; i > depth; --i) inner = OrderedJson{{path[i], inner}};
      text_ = with_member(text_, object, depth, path[depth], inner, layout);
      return reparse();
    }
    if (last) {
      text_.replace(member->value, member->end - member->value,
                    printed(value, layout, indent_at(text_, member->begin)));
      return reparse();
    }
    if (text_[member->value] != '{') {
      return fail(ErrorCode::kWrongState, "{}:{}: \"{}\" is not an object", file_,
                  place_of(text_, member->value), path[depth]);
    }
    object = scanner.object(member->value);
  }
  return {};
}

Result<> JsonText::remove(const Path& path) {
  const Scanner scanner(text_);
  Object object = scanner.root();
  for (size_t depth = 0; depth < path.size(); ++depth) {
    const Member* member = find_member(object, path[depth]);
    if (member == nullptr) return {};
    if (depth + 1 < path.size()) {
      if (text_[member->value] != '{') return {};
      object = scanner.object(member->value);
      continue;
    }
    const auto index = static_cast<size_t>(member - object.members.data());
    const std::vector<Member>& all = object.members;
    if (all.size() == 1) {
      text_.erase(object.begin + 1, object.end - object.begin - 2);
    } else if (index + 1 == all.size()) {
      text_.erase(all[index - 1].end, member->end - all[index - 1].end);
    } else {
      text_.erase(member->begin, all[index + 1].begin - member->begin);
    }
    return reparse();
  }
  return {};
}

}  // namespace trivet::install
