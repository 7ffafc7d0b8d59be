#include "cli/gpus.h"

#include "base/text.h"

namespace trivet::cli {

namespace {

constexpr const char* kKind = "nvidia.com/gpu=";

std::unexpected<Error> wrong(std::string message) {
  return std::unexpected(Error(ErrorCode::kInvalidArgument, std::move(message))
                             .hint("write --gpus all, --gpus 2, or --gpus device=0,1"));
}

Result<std::vector<std::string>> counted(std::string_view text) {
  constexpr int64_t kMost = 1024;
  if (text == "all" || text == "-1") return std::vector<std::string>{"all"};
  const auto count = parse_int(text);
  if (!count || *count < 1 || *count > kMost) {
    return wrong(fmt::format("\"{}\" is no number of GPUs", text));
  }
  std::vector<std::string> names;
  for (int64_t i = 0; i < *count; ++i) names.push_back(std::to_string(i));
  return names;
}

Result<std::vector<std::string>> parse_names(const std::string& text) {
  std::vector<std::string> names;
  std::vector<std::string> many;
  for (const std::string& field : split(text, ',')) {
    if (field.starts_with("device=")) {
      names.push_back(field.substr(field.find('=') + 1));
    } else if (field.starts_with("count=")) {
      many = TRY(counted(field.substr(field.find('=') + 1)));
    } else if (!names.empty() && field.find('=') == std::string::npos) {
      names.push_back(field);  // a further one of "device=0,1"
    } else if (field.find('=') == std::string::npos) {
      many = TRY(counted(field));
    } else if (field != "driver=nvidia" && field != "driver=cdi") {
      return wrong(fmt::format("\"{}\" can't be asked for", field));
    }
  }
  if (names.empty() == many.empty()) return wrong("either a number or names are needed");
  return names.empty() ? many : names;
}

}  // namespace

Result<std::vector<std::string>> parse_gpus(std::string_view text) {
  std::string plain(text);
  // Docker's manual quotes the list for a parser of CSV: '"device=0,1"'.
  std::erase(plain, '"');
  std::vector<std::string> names = TRY(parse_names(plain));
  for (std::string& name : names) name.insert(0, kKind);
  return names;
}

}  // namespace trivet::cli
