#include "yaml/reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <yaml.h>

namespace trivet::yaml {

namespace {

using Kind = Node::Kind;

bool is_one_of(std::string_view text, auto words) {
  return std::ranges::find(words, text) != words.end();
}

constexpr std::array<std::string_view, 5> kNulls = {"", "~", "null", "Null", "NULL"};
constexpr std::array<std::string_view, 9> kTrue = {"true", "True", "TRUE", "yes", "Yes",
                                                   "YES",  "on",   "On",   "ON"};
constexpr std::array<std::string_view, 9> kFalse = {"false", "False", "FALSE", "no", "No",
                                                    "NO",    "off",   "Off",   "OFF"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Consumes digits and YAML 1.1's underscores; true when there was a digit.
bool take_digits(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789_"), text.size());
  const bool any = end > 0 && is_digit(text.front());
  text.remove_prefix(end);
  return any;
}

bool is_number(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  if (text.starts_with("0x") || text.starts_with("0o")) {
    const std::string_view digits = text[1] == 'x' ? "0123456789abcdefABCDEF_" : "01234567_";
    return text.size() > 2 && text.find_first_not_of(digits, 2) == std::string_view::npos;
  }
  bool any = take_digits(text);
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    any = take_digits(text) || any;
  }
  if (any && !text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    text.remove_prefix(1);
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
    any = take_digits(text);
  }
  return any && text.empty();
}

Kind kind_of_plain(std::string_view text) {
  if (is_one_of(text, kNulls)) return Kind::kNull;
  if (is_one_of(text, kTrue) || is_one_of(text, kFalse)) return Kind::kBool;
  return is_number(text) ? Kind::kNumber : Kind::kText;
}

// An event of libyaml, freed when it goes.
struct Event {
  yaml_event_t raw{};
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&raw); }
};

std::string text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text));
}

class Builder {
 public:
  Builder(std::string_view text, const std::string& file) : file_(file) {
    ready_ = yaml_parser_initialize(&parser_) != 0;
    if (!ready_) return;
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ~Builder() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  Result<std::vector<NodePtr>> documents() {
    if (!ready_) return fail(ErrorCode::kSystem, "no memory to read YAML");
    std::vector<NodePtr> all;
    for (;;) {
      Event event;
      TRY(next(event));
      if (event.raw.type == YAML_STREAM_END_EVENT) return all;
      if (event.raw.type != YAML_DOCUMENT_START_EVENT) continue;
      anchors_.clear();
      NodePtr root = TRY(value(0));
      if (root->kind != Kind::kNull) all.push_back(std::move(root));
      if (all.size() > kMaxYamlDocuments) {
        return fail(ErrorCode::kLimitExceeded, "{}: it has more than {} documents", file_,
                    kMaxYamlDocuments);
      }
    }
  }

 private:
  [[nodiscard]] std::unexpected<Error> wrong(const yaml_mark_t& mark, std::string_view what,
                                             ErrorCode code = ErrorCode::kInvalidArgument) const {
    return fail(code, "{}:{}:{}: {}", file_, mark.line + 1, mark.column + 1, what);
  }

  Result<> next(Event& event) {
    if (yaml_parser_parse(&parser_, &event.raw) != 0) return {};
    const bool scanned = parser_.error == YAML_SCANNER_ERROR || parser_.error == YAML_PARSER_ERROR;
    if (!scanned) {
      return fail(ErrorCode::kInvalidArgument, "{}: at byte {}: {}", file_, parser_.problem_offset,
                  parser_.problem == nullptr ? "not readable" : parser_.problem);
    }
    std::string what = parser_.problem;
    if (parser_.context != nullptr) {
      what += fmt::format(" ({} that began in line {})", parser_.context,
                          parser_.context_mark.line + 1);
    }
    Error error(ErrorCode::kInvalidArgument,
                fmt::format("{}:{}:{}: not YAML: {}", file_, parser_.problem_mark.line + 1,
                            parser_.problem_mark.column + 1, what));
    if (what.find("cannot start any token") != std::string::npos) {
      error = std::move(error).hint("YAML is indented with blanks, not with tabs");
    }
    return std::unexpected(std::move(error));
  }

  Result<NodePtr> value(int depth) {
    Event event;
    TRY(next(event));
    return from_event(event, depth);
  }

  Result<NodePtr> from_event(const Event& event, int depth) {
    const yaml_event_t& raw = event.raw;
    if (depth > kMaxYamlDepth) {
      return wrong(raw.start_mark, fmt::format("nested more than {} levels deep", kMaxYamlDepth),
                   ErrorCode::kLimitExceeded);
    }
    switch (raw.type) {
      case YAML_ALIAS_EVENT:
        return alias(raw);
      case YAML_SCALAR_EVENT:
        return scalar(raw);
      case YAML_SEQUENCE_START_EVENT:
        return list(raw, depth);
      case YAML_MAPPING_START_EVENT:
        return map(raw, depth);
      default:
        return wrong(raw.start_mark, "not YAML: something is missing here");
    }
  }

  static std::shared_ptr<Node> make(const yaml_event_t& raw, Kind kind) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->line = static_cast<int>(raw.start_mark.line) + 1;
    node->column = static_cast<int>(raw.start_mark.column) + 1;
    return node;
  }

  Result<NodePtr> alias(const yaml_event_t& raw) {
    const std::string name = text_of(raw.data.alias.anchor);
    const auto found = anchors_.find(name);
    // An anchor counts from its end on: a node can't hold itself.
    if (found == anchors_.end()) return wrong(raw.start_mark, "unknown alias *" + name);
    return found->second;
  }

  void remember(const yaml_char_t* anchor, const NodePtr& node) {
    if (anchor != nullptr) anchors_[text_of(anchor)] = node;
  }

  Result<NodePtr> scalar(const yaml_event_t& raw) {
    const auto& data = raw.data.scalar;
    const std::string_view text(reinterpret_cast<const char*>(data.value), data.length);
    const std::string tag = text_of(data.tag);
    const bool plain = data.style == YAML_PLAIN_SCALAR_STYLE;
    Kind kind = plain ? kind_of_plain(text) : Kind::kText;
    if (tag == YAML_STR_TAG || tag == "!") {
      kind = Kind::kText;
    } else if (tag == YAML_INT_TAG || tag == YAML_FLOAT_TAG || tag == YAML_BOOL_TAG ||
               tag == YAML_NULL_TAG) {
      kind = kind_of_plain(text);
    } else if (!tag.empty()) {
      return wrong(raw.start_mark, fmt::format("the tag {} means nothing here", tag));
    }
    auto node = make(raw, kind);
    node->text = text;
    node->flag = kind == Kind::kBool && is_one_of(text, kTrue);
    remember(data.anchor, node);
    return node;
  }

  Result<> add_weight(Node& parent, const Node& child, const yaml_mark_t& mark) const {
    parent.weight += child.weight;
    if (parent.weight <= kMaxYamlNodes) return {};
    return wrong(mark, fmt::format("more than {} values", kMaxYamlNodes),
                 ErrorCode::kLimitExceeded);
  }

  Result<NodePtr> list(const yaml_event_t& raw, int depth) {
    auto node = make(raw, Kind::kList);
    for (;;) {
      Event event;
      TRY(next(event));
      if (event.raw.type == YAML_SEQUENCE_END_EVENT) break;
      NodePtr item = TRY(from_event(event, depth + 1));
      TRY(add_weight(*node, *item, event.raw.start_mark));
      node->items.push_back(std::move(item));
    }
    remember(raw.data.sequence_start.anchor, node);
    return node;
  }

  Result<NodePtr> map(const yaml_event_t& raw, int depth) {
    auto node = make(raw, Kind::kMap);
    std::vector<NodePtr> merged;
    for (;;) {
      Event event;
      TRY(next(event));
      if (event.raw.type == YAML_MAPPING_END_EVENT) break;
      TRY(member(event, depth, *node, merged));
    }
    for (const NodePtr& other : merged) TRY(merge(*node, *other, raw.start_mark));
    remember(raw.data.mapping_start.anchor, node);
    return node;
  }

  Result<> member(const Event& event, int depth, Node& node, std::vector<NodePtr>& merged) {
    const yaml_mark_t mark = event.raw.start_mark;
    const NodePtr key = TRY(from_event(event, depth + 1));
    if (key->kind == Kind::kList || key->kind == Kind::kMap) {
      return wrong(mark, "a name is expected here, not a structure");
    }
    NodePtr content = TRY(value(depth + 1));
    TRY(add_weight(node, *content, mark));
    const bool quoted = event.raw.type == YAML_SCALAR_EVENT &&
                        event.raw.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (key->text == "<<" && !quoted) {
      merged.push_back(std::move(content));
      return {};
    }
    if (has(node, key->text)) return wrong(mark, fmt::format("\"{}\" is there twice", key->text));
    node.members.push_back({.name = key->text,
                            .line = static_cast<int>(mark.line) + 1,
                            .column = static_cast<int>(mark.column) + 1,
                            .value = std::move(content)});
    return {};
  }

  static bool has(const Node& node, const std::string& name) {
    return std::ranges::find(node.members, name, &Node::Member::name) != node.members.end();
  }

  // YAML 1.1's "<<": members of other maps, where the map has none of that name.
  Result<> merge(Node& node, const Node& other, const yaml_mark_t& mark) const {
    if (other.kind == Kind::kList) {
      for (const NodePtr& item : other.items) {
        if (item->kind == Kind::kList) return wrong(mark, "\"<<\" takes a map, or a list of maps");
        TRY(merge(node, *item, mark));
      }
      return {};
    }
    if (other.kind != Kind::kMap) return wrong(mark, "\"<<\" takes a map, or a list of maps");
    for (const Node::Member& member : other.members) {
      if (!has(node, member.name)) node.members.push_back(member);
    }
    return {};
  }

  const std::string& file_;
  yaml_parser_t parser_{};
  bool ready_ = false;
  std::map<std::string, NodePtr> anchors_;
};

}  // namespace

const char* kind_text(Node::Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kBool:
      return "true or false";
    case Kind::kNumber:
      return "a number";
    case Kind::kText:
      return "text";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      break;
  }
  return "a structure with named members";
}

Result<std::vector<NodePtr>> parse_yaml(std::string_view text, const std::string& file) {
  if (text.size() > kMaxYamlBytes) {
    return fail(ErrorCode::kLimitExceeded, "{}: it is larger than {} KiB", file,
                kMaxYamlBytes / 1024);
  }
  return Builder(text, file).documents();
}

Result<int64_t> integer_of(const Node& node) {
  std::string digits = node.text;
  std::erase(digits, '_');
  std::string_view rest = digits;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  int base = 10;
  if (rest.starts_with("0x") || rest.starts_with("0o")) {
    base = rest[1] == 'x' ? 16 : 8;
    rest.remove_prefix(2);
  } else if (rest.size() > 1 && rest.front() == '0') {
    base = 8;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
  if (error != std::errc() || end != rest.data() + rest.size() || rest.starts_with('-')) {
    return fail(ErrorCode::kInvalidArgument, "{} is no whole number", node.text);
  }
  return negative ? -value : value;
}

}  // namespace trivet::yaml
