#include "manifest/fields.h"

#include <algorithm>

#include "base/text.h"

namespace trivet::manifest {

namespace {

using Kind = Node::Kind;

constexpr size_t kMostNotes = 20;

std::string child_field(const std::string& parent, std::string_view name) {
  // Names with dots of their own, as annotations have them.
  if (name.find_first_of("./") != std::string_view::npos) {
    return fmt::format("{}[\"{}\"]", parent, name);
  }
  return parent.empty() ? std::string(name) : fmt::format("{}.{}", parent, name);
}

}  // namespace

std::string place_text(const Place& place) {
  const std::string where =
      place.line == 0 ? place.file : fmt::format("{}:{}:{}", place.file, place.line, place.column);
  return place.field.empty() ? where : fmt::format("{}: {}", where, place.field);
}

// ---------------------------------------------------------------- Problems

void Problems::wrong(const Place& place, std::string text, std::string hint) {
  found_.push_back({place, std::move(text), std::move(hint), ErrorCode::kInvalidArgument});
}

void Problems::unsupported(const Place& place, std::string_view text) {
  refuse(place, fmt::format("not supported: {}", text));
}

void Problems::unknown(const Place& place, const std::string& nearest) {
  const std::string text = nearest.empty()
                               ? std::string("unknown field")
                               : fmt::format("unknown field: did you mean \"{}\"?", nearest);
  if (ignore_unsupported_ || nearest.empty()) return refuse(place, text);
  wrong(place, text);
}

void Problems::refuse(const Place& place, std::string text) {
  if (ignore_unsupported_) {
    warnings_.push_back(fmt::format("{}: {}: left out", place_text(place), text));
    return;
  }
  found_.push_back({place, std::move(text), {}, ErrorCode::kUnsupported});
}

Error Problems::error() const {
  std::vector<Found> sorted = found_;
  std::ranges::stable_sort(sorted, [](const Found& a, const Found& b) {
    // Of another file: in the order they were read.
    if (a.place.file != b.place.file) return false;
    return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
  });
  const bool all_unsupported =
      std::ranges::all_of(sorted, [](const Found& f) { return f.code == ErrorCode::kUnsupported; });
  const auto text = [](const Found& f) { return place_text(f.place) + ": " + f.text; };
  // Only the error itself has a hint of its own.
  const auto with_hint = [&](const Found& f) {
    return f.hint.empty() ? text(f) : fmt::format("{} ({})", text(f), f.hint);
  };
  Error error(all_unsupported ? ErrorCode::kUnsupported : ErrorCode::kInvalidArgument,
              text(sorted.front()));
  if (!sorted.front().hint.empty()) error = std::move(error).hint(sorted.front().hint);
  for (size_t i = 1; i < sorted.size() && i <= kMostNotes; ++i) {
    error = std::move(error).note(Error(sorted[i].code, with_hint(sorted[i])));
  }
  if (sorted.size() > kMostNotes + 1) {
    error = std::move(error).note(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("{} more are wrong", sorted.size() - kMostNotes - 1)));
  }
  return error;
}

// ---------------------------------------------------------------- Value

bool Value::expect(Kind kind) const {
  if (node_->kind == kind) return true;
  const bool scalar = node_->kind == Kind::kBool || node_->kind == Kind::kNumber;
  if (kind == Kind::kText && scalar) {
    wrong(fmt::format("{}: it is text, and this is {}", node_->text, kind_text(node_->kind)),
          fmt::format("quote it: \"{}\"", node_->text));
  } else if (kind == Kind::kNumber && node_->kind == Kind::kText) {
    wrong(fmt::format("\"{}\": it is a number", node_->text));
  } else {
    wrong(fmt::format("it is {}, and this is {}", kind_text(kind), kind_text(node_->kind)));
  }
  return false;
}

std::string Value::text() const {
  if (!expect(Kind::kText)) return {};
  if (node_->text.find('\0') == std::string::npos) return node_->text;
  wrong("it holds a zero byte");
  return {};
}

int64_t Value::integer(Range range) const {
  if (!expect(Kind::kNumber)) return range.least;
  const auto value = integer_of(*node_);
  if (!value) {
    wrong(value.error().message());
  } else if (*value < range.least || *value > range.most) {
    std::string allowed = fmt::format("{} to {}", range.least, range.most);
    if (range.most == INT32_MAX) allowed = fmt::format("at least {}", range.least);
    if (range.most == range.least) allowed = fmt::format("always {}", range.least);
    wrong(fmt::format("{}: it is {}", *value, allowed));
  } else {
    return *value;
  }
  return range.least;
}

bool Value::flag() const {
  return expect(Kind::kBool) && node_->flag;
}

std::string Value::word() const {
  if (node_->kind == Kind::kNumber) return node_->text;
  return text();
}

std::vector<Value> Value::items() const {
  std::vector<Value> values;
  if (!expect(Kind::kList)) return values;
  for (size_t i = 0; i < node_->items.size(); ++i) {
    const NodePtr& item = node_->items[i];
    values.emplace_back(
        item, Place{place_.file, item->line, item->column, fmt::format("{}[{}]", place_.field, i)},
        *problems_);
  }
  return values;
}

std::vector<std::pair<std::string, Value>> Value::members() const {
  std::vector<std::pair<std::string, Value>> values;
  if (!expect(Kind::kMap)) return values;
  for (const Node::Member& member : node_->members) {
    if (member.value->kind == Kind::kNull) continue;
    values.emplace_back(member.name, Value(member.value,
                                           {place_.file, member.line, member.column,
                                            child_field(place_.field, member.name)},
                                           *problems_));
  }
  return values;
}

std::vector<std::string> Value::texts() const {
  std::vector<std::string> all;
  for (const Value& item : items()) all.push_back(item.text());
  return all;
}

std::map<std::string, std::string> Value::text_map() const {
  std::map<std::string, std::string> all;
  for (const auto& [name, value] : members()) all[name] = value.text();
  return all;
}

std::optional<std::string> Value::one_of(std::initializer_list<const char*> known) const {
  const std::vector<std::string> names(known.begin(), known.end());
  if (!expect(Kind::kText)) return std::nullopt;
  if (std::ranges::find(names, node_->text) != names.end()) return node_->text;
  const std::string nearest = nearest_name(node_->text, names);
  wrong(fmt::format("\"{}\": it is one of {}", node_->text, join(names, ", ")),
        nearest.empty() ? "" : fmt::format("did you mean \"{}\"?", nearest));
  return std::nullopt;
}

// ---------------------------------------------------------------- Fields

Fields::Fields(const Value& value) : value_(value) {
  if (value.node().kind != Kind::kMap) static_cast<void>(value.members());  // reports it
}

Fields::~Fields() {
  if (value_.node().kind != Kind::kMap) return;
  for (const auto& [name, value] : value_.members()) {
    if (std::ranges::find(known_, name) != known_.end()) continue;
    value_.problems().unknown(value.place(), nearest_name(name, known_));
  }
}

std::optional<Value> Fields::find(const char* name) {
  known_.emplace_back(name);
  const Node& node = value_.node();
  const auto found = std::ranges::find(node.members, name, &Node::Member::name);
  if (found == node.members.end() || found->value->kind == Kind::kNull) return std::nullopt;
  return Value(found->value,
               {place().file, found->line, found->column, child_field(place().field, name)},
               value_.problems());
}

std::optional<Value> Fields::need(const char* name) {
  auto value = find(name);
  if (!value && value_.node().kind == Kind::kMap) {
    value_.wrong(fmt::format("\"{}\" is missing", name));
  }
  return value;
}

void Fields::read(const char* name, std::string& target) {
  if (const auto value = find(name)) target = value->text();
}

void Fields::read(const char* name, bool& target) {
  if (const auto value = find(name)) target = value->flag();
}

void Fields::read(const char* name, std::vector<std::string>& target) {
  if (const auto value = find(name)) target = value->texts();
}

void Fields::read(const char* name, std::map<std::string, std::string>& target) {
  if (const auto value = find(name)) target = value->text_map();
}

void Fields::accept(std::initializer_list<const char*> names) {
  known_.insert(known_.end(), names.begin(), names.end());
}

void Fields::refuse(const char* name, const char* why) {
  if (const auto value = find(name)) value->unsupported(why);
}

// ---------------------------------------------------------------- checks

void check_name(const Value& value, const std::string& name, size_t most, Dots dots) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool fine = !name.empty() && name.size() <= most && letter(name.front()) &&
                    letter(name.back()) && std::ranges::all_of(name, [&](char c) {
                      return letter(c) || c == '-' || (dots == Dots::kYes && c == '.');
                    });
  if (fine || value.node().kind != Kind::kText) return;
  value.wrong(
      fmt::format("\"{}\": it is up to {} of a-z, 0-9 and \"-\"{}, and begins and ends "
                  "with a letter or digit",
                  name, most, dots == Dots::kYes ? ", \".\"" : ""));
}

void check_absolute(const Value& value, const std::string& path) {
  if (value.node().kind != Kind::kText || path.starts_with('/')) return;
  value.wrong(fmt::format("\"{}\": it is an absolute path", path));
}

void check_inside(const Value& value, const std::string& path) {
  if (value.node().kind != Kind::kText) return;
  const std::vector<std::string> parts = split(path, '/');
  const bool leaves = std::ranges::find(parts, "..") != parts.end();
  if (!path.empty() && path.front() != '/' && !leaves) return;
  value.wrong(fmt::format("\"{}\": it is a relative path without \"..\"", path));
}

}  // namespace trivet::manifest
