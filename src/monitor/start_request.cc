#include "monitor/start_request.h"

#include "base/json.h"

namespace trivet::monitor {

std::string make_frame(const StartRequest& request) {
  Json json{{"discard", request.discard},
            {"foreground", request.foreground},
            {"remove", request.remove},
            {"name", request.name}};
  if (request.timeout_ms) json["timeoutMs"] = *request.timeout_ms;
  return make_frame(kStart, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<StartRequest> parse_start_request(std::string_view payload) {
  constexpr const char* kWhere = "start request";
  const Json json = TRY(parse_json(payload, kWhere));
  const JsonView view(json, kWhere);
  StartRequest request;
  TRY(view.read("discard", request.discard));
  TRY(view.read("foreground", request.foreground));
  TRY(view.read("remove", request.remove));
  TRY(view.read("name", request.name));
  if (const auto timeout = TRY(view.find("timeoutMs"))) request.timeout_ms = TRY(timeout->as_int());
  return request;
}

}  // namespace trivet::monitor
