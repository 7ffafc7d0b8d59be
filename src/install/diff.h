// Changes of text files as people read them.
#pragma once

#include <string>
#include <string_view>

namespace trivet::install {

// A unified diff with three lines of context, `---` and `+++` lines included; empty when the texts
// are the same. `before` absent and `after` absent are written as /dev/null.
struct DiffSide {
  std::string name;
  std::string_view text;
};
std::string unified_diff(const DiffSide& before, const DiffSide& after);

}  // namespace trivet::install
