// The manual made from the declarations: man pages and docs/commands.md.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace trivet::cli {

// File names ("trivet-run.1") and pages in man(7)'s language, one for each command and one for all.
std::vector<std::pair<std::string, std::string>> man_pages();

// docs/commands.md.
std::string markdown_reference();

}  // namespace trivet::cli
