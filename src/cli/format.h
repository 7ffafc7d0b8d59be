// How things are shown: tables, JSON, Docker's {{.Field}} templates, and text made safe to print.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/printable.h"
#include "base/result.h"
#include "cli/command.h"

namespace trivet::cli {

// Members stay in the order they were added.
using Object = nlohmann::ordered_json;

// Pretty JSON with a line end. Bytes that are not UTF-8 become U+FFFD.
std::string dump_pretty(const Object& value);
// One line of JSON with its line end.
std::string dump_line(const Object& value);

// Left-aligned columns, three blanks apart, no blanks at the line ends. Made printable.
std::string render_table(const std::vector<std::string>& headers,
                         const std::vector<std::vector<std::string>>& rows);

// Things to list, as rows for people and as objects for programs.
struct Listing {
  std::vector<std::string> headers;
  std::vector<std::vector<std::string>> rows;  // as many cells as headers
  Object items = Object::array();

  void add(std::vector<std::string> row, Object item);
};

// `format` is empty or "table", "json" (an array of objects), or a template for each item.
Result<std::string> render_listing(const Listing& listing, const std::string& format);

// Docker's templates as far as they name fields: "{{.Name}}", "{{.State.Pid}}", "{{json .Labels}}",
// with \t and \n. kInvalidArgument for anything else, and for fields that `item` does not have.
Result<std::string> render_template(std::string_view text, const Object& item);

// "5 minutes ago".
std::string ago(std::chrono::system_clock::time_point time);
// The first 12 digits of an id, without "sha256:".
std::string short_id(std::string_view id);
// An image's name as people type it: without "docker.io/library/".
std::string familiar_name(std::string_view name);
// At most `width` bytes, the last three dots when something was cut.
std::string ellipsis(std::string_view text, size_t width);
// A command line as a shell would read it.
std::string quoted_command(const std::vector<std::string>& words);

// --format, the same for every listing.
OptionSpec& add_format_option(Command& command, std::string& target);

}  // namespace trivet::cli
