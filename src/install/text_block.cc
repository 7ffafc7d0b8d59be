#include "install/text_block.h"

#include <algorithm>

#include "base/text.h"

namespace trivet::install {

namespace {

constexpr std::string_view kBegin = "# BEGIN trivet";
constexpr std::string_view kEnd = "# END trivet";

struct Place {
  size_t begin = 0;
  size_t end = 0;
};

// The line that starts with `words` at or behind `from`: where it starts and where the next does.
Place find_line(std::string_view text, std::string_view words, size_t from) {
  for (size_t at = from; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    if (text.substr(at, end - at).starts_with(words)) return {at, end};
    at = end;
  }
  return {std::string_view::npos, std::string_view::npos};
}

size_t line_number(std::string_view text, size_t at) {
  return static_cast<size_t>(
             std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n')) +
         1;
}

// A key that somebody has put behind the block is in the block's last table.
Result<> check_follower(std::string_view text, size_t at, const std::string& file) {
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trim(text.substr(at, end - at));
    if (line.starts_with('[')) return {};
    if (!line.empty() && !line.starts_with('#')) {
      return std::unexpected(
          Error(
              ErrorCode::kCorrupt,
              fmt::format("{}:{}: this line is behind trivet's entries and so belongs to the last "
                          "of them",
                          file, line_number(text, at)))
              .hint("move it to the table that it is meant for, then try again"));
    }
    at = end + 1;
  }
  return {};
}

}  // namespace

Result<std::string> without_block(std::string_view text, const std::string& file) {
  const Place begin = find_line(text, kBegin, 0);
  if (begin.begin == std::string_view::npos) return std::string(text);
  const Place end = find_line(text, kEnd, begin.end);
  if (end.begin == std::string_view::npos) {
    return std::unexpected(
        Error(ErrorCode::kCorrupt, fmt::format("{}:{}: no line \"{}\" follows", file,
                                               line_number(text, begin.begin), kEnd))
            .hint("take out trivet's entries by hand"));
  }
  TRY(check_follower(text, end.end, file));
  const std::string_view head = text.substr(0, begin.begin);
  const bool blank = head == "\n" || head.ends_with("\n\n");
  return std::string(blank ? head.substr(0, head.size() - 1) : head) +
         std::string(text.substr(end.end));
}

Result<std::string> with_block(std::string_view text, std::string_view caller,
                               std::string_view lines, const std::string& file) {
  std::string result = TRY(without_block(text, file));
  if (!result.empty() && !result.ends_with('\n')) result += '\n';
  if (!result.empty()) result += '\n';
  result +=
      fmt::format("{}: `trivet uninstall {}` takes it out\n{}{}\n", kBegin, caller, lines, kEnd);
  return result;
}

}  // namespace trivet::install
