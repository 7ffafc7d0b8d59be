#include "oci/process_text.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/printable.h"

namespace trivet::oci {

namespace {

bool is_utf8(const std::string& text) {
  if (std::ranges::all_of(text, [](char c) { return c > 0; })) return true;
  using Json = nlohmann::json;
  // The replacing printer makes something else of what is not.
  const std::string printed = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(printed, nullptr, false) == text;
}

}  // namespace

Result<> require_utf8(const Process& process) {
  const auto hint = "give such bytes as a file, or by its input";
  for (size_t i = 0; i < process.args.size(); ++i) {
    if (is_utf8(process.args[i])) continue;
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format(
                  "argument {} of the command is not UTF-8, which its configuration has to be", i))
            .hint(hint));
  }
  for (const std::string& variable : process.env) {
    if (is_utf8(variable)) continue;
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("the variable {} is not UTF-8, which its configuration has to be",
                          printable(variable.substr(0, variable.find('=')))))
            .hint(hint));
  }
  return {};
}

}  // namespace trivet::oci
