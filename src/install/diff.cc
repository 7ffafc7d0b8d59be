#include "install/diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

namespace trivet::install {

namespace {

constexpr size_t kContext = 3;
// Above this many comparisons the middle is shown as replaced as a whole. Configuration files are
// far below it.
constexpr size_t kMaxComparisons = 4U << 20U;

using Lines = std::vector<std::string_view>;

// With their line ends: a last line without one differs from the same line with one.
Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1);
    lines.push_back(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
  }
  return lines;
}

struct Step {
  char kind = ' ';  // ' ', '-' or '+'
  std::string_view line;
};

// The longest common subsequence of the two, by the textbook's table.
void add_middle(const Lines& before, const Lines& after, std::vector<Step>& steps) {
  const size_t rows = before.size();
  const size_t columns = after.size();
  if (rows * columns > kMaxComparisons) {
    for (const auto line : before) steps.push_back({'-', line});
    for (const auto line : after) steps.push_back({'+', line});
    return;
  }
  std::vector<uint32_t> common((rows + 1) * (columns + 1));
  const auto cell = [&](size_t row, size_t column) -> uint32_t& {
    return common[(row * (columns + 1)) + column];
  };
  for (size_t row = rows; row-- > 0;) {
    for (size_t column = columns; column-- > 0;) {
      cell(row, column) = before[row] == after[column]
                              ? cell(row + 1, column + 1) + 1
                              : std::max(cell(row + 1, column), cell(row, column + 1));
    }
  }
  size_t row = 0;
  size_t column = 0;
  while (row < rows || column < columns) {
    if (row < rows && column < columns && before[row] == after[column]) {
      steps.push_back({' ', before[row]});
      ++row, ++column;
    } else if (column == columns ||
               (row < rows && cell(row + 1, column) >= cell(row, column + 1))) {
      steps.push_back({'-', before[row++]});
    } else {
      steps.push_back({'+', after[column++]});
    }
  }
}

std::vector<Step> steps_between(const Lines& before, const Lines& after) {
  size_t head = 0;
  while (head < before.size() && head < after.size() && before[head] == after[head]) ++head;
  size_t tail = 0;
  while (tail < before.size() - head && tail < after.size() - head &&
         before[before.size() - 1 - tail] == after[after.size() - 1 - tail]) {
    ++tail;
  }
  std::vector<Step> steps;
  for (size_t i = 0; i < head; ++i) steps.push_back({' ', before[i]});
  const auto middle = [&](const Lines& lines) {
    return Lines(lines.begin() + static_cast<ptrdiff_t>(head),
                 lines.end() - static_cast<ptrdiff_t>(tail));
  };
  add_middle(middle(before), middle(after), steps);
  for (size_t i = before.size() - tail; i < before.size(); ++i) steps.push_back({' ', before[i]});
  return steps;
}

struct Range {
  size_t begin = 0;
  size_t end = 0;
};

// The steps of each hunk: those near a change.
std::vector<Range> hunks_of(const std::vector<Step>& steps) {
  std::vector<Range> hunks;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind == ' ') continue;
    const size_t begin = i < kContext ? 0 : i - kContext;
    const size_t end = std::min(i + kContext + 1, steps.size());
    if (!hunks.empty() && begin <= hunks.back().end) {
      hunks.back().end = end;
    } else {
      hunks.push_back({begin, end});
    }
  }
  return hunks;
}

// "12,7"; a side without lines names the line before.
std::string range_text(size_t first, size_t count) {
  if (count == 0) return fmt::format("{},0", first - 1);
  return count == 1 ? fmt::format("{}", first) : fmt::format("{},{}", first, count);
}

void print_line(std::string& text, const Step& step) {
  text += step.kind;
  text += step.line;
  if (!step.line.ends_with('\n')) text += "\n\\ No newline at end of file\n";
}

}  // namespace

std::string unified_diff(const DiffSide& before, const DiffSide& after) {
  if (before.text == after.text) return {};
  const std::vector<Step> steps = steps_between(lines_of(before.text), lines_of(after.text));
  std::string text = fmt::format("--- {}\n+++ {}\n", before.name, after.name);
  size_t line_before = 1;
  size_t line_after = 1;
  size_t at = 0;
  const auto advance = [&](size_t end) {
    for (; at < end; ++at) {
      if (steps[at].kind != '+') ++line_before;
      if (steps[at].kind != '-') ++line_after;
    }
  };
  for (const Range& hunk : hunks_of(steps)) {
    advance(hunk.begin);
    const size_t first_before = line_before;
    const size_t first_after = line_after;
    advance(hunk.end);
    text += fmt::format("@@ -{} +{} @@\n", range_text(first_before, line_before - first_before),
                        range_text(first_after, line_after - first_after));
    for (size_t i = hunk.begin; i < hunk.end; ++i) print_line(text, steps[i]);
  }
  return text;
}

}  // namespace trivet::install
