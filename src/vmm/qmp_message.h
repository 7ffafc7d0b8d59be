// The messages of QMP, QEMU's control protocol (qemu: docs/interop/qmp-spec.rst): one JSON object a
// line. Parsing is pure.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/json.h"
#include "base/result.h"

namespace trivet::vmm {

struct QmpGreeting {};
struct QmpReturn {
  uint64_t id = 0;
  Json value;
};
struct QmpFailure {
  uint64_t id = 0;
  std::string message;
};
struct QmpEvent {
  std::string name;  // "STOP"
  Json data;
};
using QmpMessage = std::variant<QmpGreeting, QmpReturn, QmpFailure, QmpEvent>;

// One line without its end. kCorrupt when it is none of them.
Result<QmpMessage> parse_qmp(std::string_view line);

[[nodiscard]] std::string print_qmp(std::string_view command, const Json& arguments, uint64_t id);

}  // namespace trivet::vmm
