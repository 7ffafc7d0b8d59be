// Texts of others, made fit for a terminal and for one line.
#pragma once

#include <string>
#include <string_view>

namespace trivet {

// A line end becomes a blank, and what a terminal takes for a command (C0 and, as UTF-8 has them,
// C1 characters, and DEL) becomes \xNN, a byte each. The rest of UTF-8 stays.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace trivet
