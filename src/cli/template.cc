// Docker's {{.Field}} templates, as far as they name fields.
#include "base/text.h"
#include "cli/format.h"

namespace trivet::cli {

namespace {

std::unexpected<Error> unknown_field(const Object& item, const std::string& name,
                                     const std::string& path) {
  std::vector<std::string> known;
  if (item.is_object()) {
    for (const auto& [key, value] : item.items()) known.push_back(key);
  }
  const std::string nearest = nearest_name(name, known);
  Error error(ErrorCode::kInvalidArgument, fmt::format("template: there is no field .{}", path));
  if (!nearest.empty())
    return std::unexpected(std::move(error).hint("did you mean ." + nearest + "?"));
  return std::unexpected(known.empty() ? std::move(error)
                                       : std::move(error).hint("there are ." + join(known, ", .")));
}

// ".State.Pid" in `item`; "." is the item itself.
Result<const Object*> find_field(const Object& item, std::string_view path) {
  if (!path.starts_with('.')) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("template: \"{}\" is not understood", path))
            .hint("fields ({{.State.Pid}}) and {{json .Field}} are; use --format json with jq for "
                  "more"));
  }
  const Object* value = &item;
  const std::string_view names = path.substr(1);
  if (names.empty()) return value;
  for (const std::string& name : split(names, '.')) {
    if (!value->is_object() || !value->contains(name)) {
      return unknown_field(*value, name, std::string(names));
    }
    value = &(*value)[name];
  }
  return value;
}

std::string field_text(const Object& value) {
  if (value.is_string()) return value.get<std::string>();
  std::string text = dump_line(value);
  text.pop_back();
  return text;
}

Result<std::string> evaluate(std::string_view action, const Object& item) {
  if (action.starts_with("json ")) {
    std::string text = dump_line(*TRY(find_field(item, trim(action.substr(5)))));
    text.pop_back();
    return text;
  }
  return field_text(*TRY(find_field(item, action)));
}

// A tab or line end written as in Go's templates on a shell's command line.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 't' || next == 'n') {
      out += next == 't' ? '\t' : '\n';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

Result<std::string> render_template(std::string_view text, const Object& item) {
  std::string out;
  for (;;) {
    const size_t open = text.find("{{");
    out += unescape(text.substr(0, open));
    if (open == std::string_view::npos) return out;
    const size_t close = text.find("}}", open);
    if (close == std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, "template: \"{{{{\" without \"}}}}\"");
    }
    out += TRY(evaluate(trim(text.substr(open + 2, close - open - 2)), item));
    text.remove_prefix(close + 2);
  }
}

}  // namespace trivet::cli
