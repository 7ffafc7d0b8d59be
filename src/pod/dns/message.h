// DNS messages (RFC 1035), as far as a forwarder of a pod's names reads and writes them. Those who
// ask are containers, so a query is read strictly: one question, no compression, nothing left over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::dns {

inline constexpr size_t kMaxMessage = 65535;
inline constexpr uint16_t kTypeA = 1;
inline constexpr uint16_t kTypeAaaa = 28;
inline constexpr uint16_t kTypeAny = 255;
inline constexpr uint16_t kClassInternet = 1;

enum class Code : uint8_t {
  kSuccess = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNotImplemented = 4
};

struct Query {
  uint16_t id = 0;
  bool recursion_desired = false;
  std::vector<std::string> labels;  // of the name, in lower case
  uint16_t type = 0;
  uint16_t class_number = 0;
  std::string question;  // its bytes in the message
};

// A whole query: kUnsupported for another operation than a standard query, kCorrupt for anything
// that is none.
Result<Query> parse_query(std::string_view message);

// What to say to a message that parse_query() refuses; nothing when it is no question at all.
[[nodiscard]] std::optional<std::string> answer_refused(std::string_view message, Code code);
[[nodiscard]] std::string print_failure(const Query& query, Code code);
// An answer with one A record, or with none ("there is such a name, but not of this type").
[[nodiscard]] std::string print_answer(const Query& query, std::optional<uint32_t> address);

// Whether a server's message answers the query that was sent with this id.
[[nodiscard]] bool is_answer(std::string_view message, uint16_t id, std::string_view question);
// The message with another id.
[[nodiscard]] std::string with_id(std::string_view message, uint16_t id);

}  // namespace trivet::dns
