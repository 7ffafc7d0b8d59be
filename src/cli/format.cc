#include "cli/format.h"

#include <algorithm>

#include "base/text.h"

namespace trivet::cli {

namespace {

// Columns that text takes: its UTF-8 characters.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

void append_row(std::string& out, const std::vector<std::string>& row,
                const std::vector<size_t>& widths) {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    const std::string cell = printable(row[i]);
    line += cell;
    if (i + 1 < row.size()) line.append(widths[i] - width_of(cell) + 3, ' ');
  }
  line.resize(line.find_last_not_of(' ') + 1);
  out += line + '\n';
}

// Blanks and quotes would make one word look like several, or none.
bool needs_quotes(std::string_view word) {
  return word.empty() ||
         word.find_first_of(" \t\n\"'\\$`;&|<>*?()[]{}#~!") != std::string_view::npos;
}

}  // namespace

std::string dump_pretty(const Object& value) {
  return value.dump(2, ' ', false, Object::error_handler_t::replace) + '\n';
}

std::string dump_line(const Object& value) {
  return value.dump(-1, ' ', false, Object::error_handler_t::replace) + '\n';
}

std::string render_table(const std::vector<std::string>& headers,
                         const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& header : headers) widths.push_back(width_of(header));
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(printable(row[i])));
    }
  }
  std::string out;
  append_row(out, headers, widths);
  for (const auto& row : rows) append_row(out, row, widths);
  return out;
}

void Listing::add(std::vector<std::string> row, Object item) {
  rows.push_back(std::move(row));
  items.push_back(std::move(item));
}

Result<std::string> render_listing(const Listing& listing, const std::string& format) {
  if (format.empty() || format == "table") return render_table(listing.headers, listing.rows);
  if (format == "json") return dump_pretty(listing.items);
  if (format.find("{{") == std::string::npos) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown format \"{}\"", format))
            .hint("use table, json, or a template such as '{{.ID}}'"));
  }
  std::string out;
  for (const Object& item : listing.items) out += TRY(render_template(format, item))
  +'\n';
  return out;
}

std::string ago(std::chrono::system_clock::time_point time) {
  const auto age = std::chrono::system_clock::now() - time;
  return format_age(std::chrono::duration_cast<std::chrono::seconds>(age)) + " ago";
}

std::string short_id(std::string_view id) {
  if (const size_t colon = id.find(':'); colon != std::string_view::npos) {
    id.remove_prefix(colon + 1);
  }
  return std::string(id.substr(0, 12));
}

std::string familiar_name(std::string_view name) {
  for (const std::string_view prefix : {"docker.io/library/", "docker.io/"}) {
    if (name.starts_with(prefix)) return std::string(name.substr(prefix.size()));
  }
  return std::string(name);
}

std::string ellipsis(std::string_view text, size_t width) {
  if (text.size() <= width) return std::string(text);
  size_t end = width - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::string quoted_command(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    if (!needs_quotes(word)) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

OptionSpec& add_format_option(Command& command, std::string& target) {
  return command
      .value("--format", "FORMAT", target, "Print a table, JSON, or a template such as '{{.ID}}'")
      .defaults_to("table")
      .one_of({"table", "json"});
}

}  // namespace trivet::cli
