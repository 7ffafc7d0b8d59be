// A part of a text file that is trivet's, between two comments that say so. What is outside of it
// is never touched.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::install {

// `text` with a block at its end that holds `lines`; an older block is replaced. `caller` is the
// word behind `trivet uninstall`.
Result<std::string> with_block(std::string_view text, std::string_view caller,
                               std::string_view lines, const std::string& file);

// `text` without the block, and without the blank line that was put in front of it. A text without
// a block is fine. kCorrupt where the end is missing, or where what follows would come into another
// table than it is in now.
Result<std::string> without_block(std::string_view text, const std::string& file);

}  // namespace trivet::install
