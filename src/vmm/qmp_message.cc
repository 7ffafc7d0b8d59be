#include "vmm/qmp_message.h"

namespace trivet::vmm {

namespace {

constexpr size_t kMaxText = 1024;

Result<QmpMessage> parse_message(const JsonView& view) {
  std::string event;
  TRY(view.read("event", event));
  if (!event.empty()) {
    const auto data = TRY(view.find("data"));
    return QmpEvent{.name = std::move(event), .data = data ? data->raw() : Json::object()};
  }
  uint64_t id = 0;
  TRY(view.read("id", id));
  if (const auto error = TRY(view.find("error"))) {
    QmpFailure failure{.id = id};
    TRY(error->read("desc", failure.message));
    failure.message.resize(std::min(failure.message.size(), kMaxText));
    return failure;
  }
  if (view.raw().contains("return")) {
    return QmpReturn{.id = id, .value = view.raw().at("return")};
  }
  if (TRY(view.find("QMP"))) return QmpGreeting{};
  return fail(ErrorCode::kCorrupt, "QMP: a message of no known kind");
}

}  // namespace

Result<QmpMessage> parse_qmp(std::string_view line) {
  const auto json = parse_json(line, "QMP");
  if (!json) return std::unexpected(Error(json.error()).with_code(ErrorCode::kCorrupt));
  if (!json->is_object()) return fail(ErrorCode::kCorrupt, "QMP: a message that is no object");
  auto message = parse_message(JsonView(*json, "QMP"));
  if (!message) return std::unexpected(Error(message.error()).with_code(ErrorCode::kCorrupt));
  return message;
}

std::string print_qmp(std::string_view command, const Json& arguments, uint64_t id) {
  Json json{{"execute", command}, {"id", id}};
  if (!arguments.is_null()) json["arguments"] = arguments;
  return json.dump() + "\n";
}

}  // namespace trivet::vmm
