// An Error as JSON, for other processes: {"code", "message", "hint", "notes"}.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace trivet {

// By its stable name; kSystem for an unknown one.
[[nodiscard]] ErrorCode error_code_from_name(std::string_view name);

[[nodiscard]] Json error_to_json(const Error& error);
// What is missing or of another type stays empty, an unknown code is kSystem. `fallback` is the
// message of an error that has none.
[[nodiscard]] Error error_from_json(const JsonView& json, std::string_view fallback);

// One line of text. What is no UTF-8 is replaced.
[[nodiscard]] std::string error_to_text(const Error& error);
// The Error in a text that `who` has sent: "the monitor".
[[nodiscard]] Error error_from_text(std::string_view text, std::string_view who);

}  // namespace trivet
