// An Error as the JSON of kFailed, and back.
#include "base/error_json.h"
#include "base/printable.h"
#include "guest/protocol.h"
#include "oci/field.h"
#include "oci/json_value.h"
#include "oci/json_writer.h"

namespace trivet::guest {

namespace {

constexpr size_t kMaxText = 4096;
constexpr size_t kMaxNotes = 8;

std::string_view cut(std::string_view text) {
  if (text.size() <= kMaxText) return text;
  size_t end = kMaxText;
  // Not inside a character of UTF-8.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

Result<Error> read_error(std::string_view payload) {
  oci::JsonDocument document;
  TRY(document.parse(payload, "kFailed", kMaxAnswer));
  const oci::Field field(document.root(), "kFailed");
  std::string code;
  std::string message;
  std::string hint;
  std::vector<std::string> notes;
  TRY(field.read("code", code));
  TRY(field.read_required("message", message));
  TRY(field.read("hint", hint));
  TRY(field.read("notes", notes));
  Error error(error_code_from_name(code), printable(cut(message)));
  if (!hint.empty()) error = std::move(error).hint(printable(cut(hint)));
  if (notes.size() > kMaxNotes) notes.resize(kMaxNotes);
  for (const std::string& note : notes) {
    error = std::move(error).note(Error(ErrorCode::kSystem, printable(cut(note))));
  }
  return error;
}

}  // namespace

std::string print_error(const Error& error) {
  oci::JsonWriter writer;
  writer.begin_object();
  writer.member("code", error_code_name(error.code()));
  writer.member("message", cut(error.message()));
  writer.optional_member("hint", cut(error.hint_text()));
  writer.optional_member("errno", error.errnum());
  std::vector<std::string> notes;
  for (const std::string& note : error.notes()) {
    if (notes.size() < kMaxNotes) notes.emplace_back(cut(note));
  }
  writer.optional_member("notes", notes);
  writer.end_object();
  return writer.text();
}

Error parse_error(std::string_view payload) {
  const auto error = read_error(payload);
  if (error) return *error;
  return {ErrorCode::kSystem, "the guest reports a failure in a form that can't be read"};
}

}  // namespace trivet::guest
