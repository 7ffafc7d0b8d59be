#include "base/json.h"

namespace trivet {

namespace {
constexpr int kMaxDepth = 64;

// Counts brackets outside strings, before any memory is spent on the document.
bool nested_too_deeply(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}
}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view what) {
  if (nested_too_deeply(text)) return fail(ErrorCode::kCorrupt, "{}: nested too deeply", what);
  // The library reports errors by exceptions; they end here.
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    return fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, error.what());
  }
}

std::unexpected<Error> JsonView::wrong(std::string_view expected) const {
  return fail(ErrorCode::kInvalidArgument, "{}: expected {}, not {}",
              path_.empty() ? "document" : path_, expected, value_->type_name());
}

std::unexpected<Error> JsonView::out_of_range() const {
  return fail(ErrorCode::kInvalidArgument, "{}: {} is out of range", path_, value_->dump());
}

Result<std::optional<JsonView>> JsonView::find(std::string_view key) const {
  if (!value_->is_object()) return wrong("an object");
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return JsonView(*found, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
}

Result<std::vector<JsonView>> JsonView::elements() const {
  if (!value_->is_array()) return wrong("an array");
  std::vector<JsonView> views;
  views.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) {
    views.emplace_back((*value_)[i], fmt::format("{}[{}]", path_, i));
  }
  return views;
}

Result<std::vector<std::pair<std::string, JsonView>>> JsonView::members() const {
  if (!value_->is_object()) return wrong("an object");
  std::vector<std::pair<std::string, JsonView>> views;
  for (const auto& [key, member] : value_->items()) {
    views.emplace_back(key, JsonView(member, fmt::format("{}.{}", path_, key)));
  }
  return views;
}

Result<std::string> JsonView::as_string() const {
  if (!value_->is_string()) return wrong("a string");
  const auto& text = value_->get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "{}: contains a NUL byte", path_);
  }
  return text;
}

Result<bool> JsonView::as_bool() const {
  if (!value_->is_boolean()) return wrong("true or false");
  return value_->get<bool>();
}

Result<int64_t> JsonView::as_int() const {
  if (!value_->is_number_integer()) return wrong("a whole number");
  if (value_->is_number_unsigned() && value_->get<uint64_t>() > INT64_MAX) return out_of_range();
  return value_->get<int64_t>();
}

Result<uint64_t> JsonView::as_uint() const {
  if (!value_->is_number_integer()) return wrong("a whole number");
  if (!value_->is_number_unsigned() && value_->get<int64_t>() < 0) return out_of_range();
  return value_->get<uint64_t>();
}

Result<> JsonView::read(std::string_view key, std::string& out) const {
  if (const auto member = TRY(find(key))) out = TRY(member->as_string());
  return {};
}

Result<> JsonView::read(std::string_view key, bool& out) const {
  if (const auto member = TRY(find(key))) out = TRY(member->as_bool());
  return {};
}

Result<> JsonView::read(std::string_view key, std::vector<std::string>& out) const {
  const auto member = TRY(find(key));
  if (!member) return {};
  out.clear();
  for (const JsonView& element : TRY(member->elements())) out.push_back(TRY(element.as_string()));
  return {};
}

}  // namespace trivet
