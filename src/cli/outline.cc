#include "cli/outline.h"

#include "cli/format.h"

namespace trivet::cli {

namespace {

// JSON as indented "Name: value" lines.
void append_outline(std::string& out, const Object& value, size_t indent) {
  const std::string margin(indent, ' ');
  for (const auto& [key, member] : value.items()) {
    const std::string label = value.is_array() ? "-" : key + ":";
    if (member.is_structured() && !member.empty()) {
      out += margin + label + '\n';
      append_outline(out, member, indent + 2);
    } else if (member.is_string()) {
      out += fmt::format("{}{} {}\n", margin, label, printable(member.get<std::string>()));
    } else {
      out += fmt::format("{}{} {}", margin, label,
                         member.is_structured() ? "none\n" : dump_line(member));
    }
  }
}

}  // namespace

Result<int> print_document(Session& session, const std::string& document,
                           const std::string& format) {
  const Object object = Object::parse(document, nullptr, false);
  if (object.is_discarded()) return fail(ErrorCode::kCorrupt, "the document is not JSON");
  if (format == "json") {
    session.print(dump_pretty(object));
  } else if (!format.empty() && format != "text") {
    session.print(TRY(render_template(format, object)) + '\n');
  } else {
    std::string text;
    append_outline(text, object, 0);
    session.print(text);
  }
  return 0;
}

}  // namespace trivet::cli
