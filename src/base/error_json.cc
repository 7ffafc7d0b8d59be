#include "base/error_json.h"

#include <array>
#include <vector>

namespace trivet {

namespace {

constexpr std::array kCodes{ErrorCode::kSystem,          ErrorCode::kInvalidArgument,
                            ErrorCode::kNotFound,        ErrorCode::kAlreadyExists,
                            ErrorCode::kWrongState,      ErrorCode::kLimitExceeded,
                            ErrorCode::kUnsupported,     ErrorCode::kPermissionDenied,
                            ErrorCode::kCommandNotFound, ErrorCode::kCommandNotExecutable,
                            ErrorCode::kDigestMismatch,  ErrorCode::kCorrupt,
                            ErrorCode::kNetwork,         ErrorCode::kUnauthorized,
                            ErrorCode::kTimeout,         ErrorCode::kCanceled};

}  // namespace

ErrorCode error_code_from_name(std::string_view name) {
  for (const ErrorCode code : kCodes) {
    if (error_code_name(code) == name) return code;
  }
  return ErrorCode::kSystem;
}

Json error_to_json(const Error& error) {
  return {{"code", std::string(error_code_name(error.code()))},
          {"message", error.message()},
          {"hint", error.hint_text()},
          {"notes", error.notes()}};
}

Error error_from_json(const JsonView& json, std::string_view fallback) {
  std::string code;
  std::string message;
  std::string hint;
  (void)json.read("code", code);
  (void)json.read("message", message);
  (void)json.read("hint", hint);
  std::vector<std::string> notes;
  (void)json.read("notes", notes);
  Error error(error_code_from_name(code), message.empty() ? std::string(fallback) : message);
  for (std::string& note : notes) {
    error = std::move(error).note(Error(ErrorCode::kSystem, std::move(note)));
  }
  return hint.empty() ? error : std::move(error).hint(hint);
}

std::string error_to_text(const Error& error) {
  return error_to_json(error).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Error error_from_text(std::string_view text, std::string_view who) {
  const auto json = parse_json(text, fmt::format("the answer of {}", who));
  if (!json) return json.error();
  return error_from_json(JsonView(*json, "error"), fmt::format("{} gave no reason", who));
}

}  // namespace trivet
