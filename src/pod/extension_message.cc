#include "pod/extension_message.h"

#include <algorithm>
#include <array>

#include "base/json.h"

namespace trivet::pod {

namespace {

template <typename T>
struct Named {
  T value;
  const char* name;
};

using OrderType = ExtensionOrder::Type;
using RequestType = ExtensionRequest::Type;

constexpr auto kEvents = std::to_array<Named<Event::Kind>>({
    {Event::Kind::kStarted, "started"},
    {Event::Kind::kExited, "exited"},
    {Event::Kind::kHealthy, "healthy"},
    {Event::Kind::kUnhealthy, "unhealthy"},
    {Event::Kind::kStopping, "stopping"},
});
constexpr auto kOrders = std::to_array<Named<OrderType>>({
    {OrderType::kStart, "start"},
    {OrderType::kEvent, "event"},
    {OrderType::kPort, "port"},
    {OrderType::kNumbers, "numbers"},
    {OrderType::kError, "error"},
});
constexpr auto kRequests = std::to_array<Named<RequestType>>({
    {RequestType::kReady, "ready"},
    {RequestType::kFailed, "failed"},
    {RequestType::kPort, "request_port"},
    {RequestType::kNumbers, "request_numbers"},
});

template <typename Table, typename T>
const char* find_name(const Table& table, T value) {
  return std::ranges::find(table, value, &Named<T>::value)->name;
}

template <typename T, size_t N>
Result<T> find_value(const std::array<Named<T>, N>& table, const JsonView& view,
                     std::string_view key) {
  std::string name;
  TRY(view.read(key, name));
  for (const Named<T>& entry : table) {
    if (name == entry.name) return entry.value;
  }
  return fail(ErrorCode::kCorrupt, "unknown {} \"{}\"", key, name);
}

// Text of others may be no UTF-8.
std::string print(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename T>
Result<T> parse(std::string_view line, Result<T> (*read)(const JsonView&)) {
  const Json json = TRY(parse_json(line, "message"));
  Result<T> result = read(JsonView(json, ""));
  if (!result) return std::unexpected(std::move(result).error().with_code(ErrorCode::kCorrupt));
  return result;
}

Json to_json(const ContainerNumbers& numbers) {
  return {{"name", numbers.name},
          {"running", numbers.running},
          {"restarts", numbers.restarts},
          {"cpu_usage_ns", numbers.cpu_usage_ns},
          {"memory_usage", numbers.memory_usage},
          {"memory_limit", numbers.memory_limit},
          {"pids", numbers.pids}};
}

Result<ContainerNumbers> read_numbers(const JsonView& view) {
  ContainerNumbers numbers;
  TRY(view.read("name", numbers.name));
  TRY(view.read("running", numbers.running));
  TRY(view.read("restarts", numbers.restarts));
  TRY(view.read("cpu_usage_ns", numbers.cpu_usage_ns));
  TRY(view.read("memory_usage", numbers.memory_usage));
  TRY(view.read("memory_limit", numbers.memory_limit));
  TRY(view.read("pids", numbers.pids));
  return numbers;
}

Result<> read_start(const JsonView& view, ExtensionOrder& order) {
  TRY(view.read("version", order.version));
  TRY(view.read("name", order.name));
  TRY(view.read("settings", order.settings));
  const auto pod = TRY(view.find("pod"));
  if (!pod) return {};
  TRY(pod->read("id", order.pod_id));
  TRY(pod->read("name", order.pod_name));
  TRY(pod->read("hostname", order.hostname));
  return pod->read("containers", order.containers);
}

Result<> read_event(const JsonView& view, Event& event) {
  event.kind = TRY(find_value(kEvents, view, "event"));
  TRY(view.read("container", event.container));
  return view.read("exit_code", event.exit_code);
}

Result<ExtensionOrder> read_order(const JsonView& view) {
  ExtensionOrder order;
  order.type = TRY(find_value(kOrders, view, "type"));
  TRY(view.read("id", order.id));
  TRY(view.read("port", order.port));
  TRY(view.read("message", order.message));
  if (order.type == OrderType::kStart) TRY(read_start(view, order));
  if (order.type == OrderType::kEvent) TRY(read_event(view, order.event));
  if (order.type != OrderType::kNumbers) return order;
  if (const auto containers = TRY(view.find("containers"))) {
    for (const JsonView& entry : TRY(containers->elements())) {
      order.numbers.push_back(TRY(read_numbers(entry)));
    }
  }
  return order;
}

Json to_json(const ExtensionRequest& request) {
  Json json{{"type", find_name(kRequests, request.type)}};
  if (request.type == RequestType::kFailed) json["message"] = request.message;
  if (request.type == RequestType::kPort || request.type == RequestType::kNumbers) {
    json["id"] = request.id;
  }
  if (request.type == RequestType::kPort) {
    json["protocol"] = request.protocol;
    json["host"] = request.host;
    json["guest"] = request.guest;
  }
  return json;
}

Result<ExtensionRequest> read_request(const JsonView& view) {
  ExtensionRequest request;
  request.type = TRY(find_value(kRequests, view, "type"));
  TRY(view.read("id", request.id));
  TRY(view.read("message", request.message));
  if (request.type != RequestType::kPort) return request;
  TRY(view.read("protocol", request.protocol));
  TRY(view.read("host", request.host));
  TRY(view.read("guest", request.guest));
  if (request.protocol != "tcp" && request.protocol != "udp") {
    return fail(ErrorCode::kCorrupt, "protocol \"{}\" is neither tcp nor udp", request.protocol);
  }
  if (request.guest == 0) return fail(ErrorCode::kCorrupt, "guest: 1 to 65535 is allowed");
  return request;
}

Result<InfraOrder> read_infra_order(const JsonView& view) {
  InfraOrder order;
  TRY(view.read("to", order.to));
  TRY(view.read("launch", order.launch));
  TRY(view.read("order", order.order));
  if (!order.launch.empty() && order.to.empty()) {
    return fail(ErrorCode::kCorrupt, "a launch of nobody");
  }
  return order;
}

Result<InfraReport> read_infra_report(const JsonView& view) {
  InfraReport report;
  TRY(view.read("from", report.from));
  TRY(view.read("ended", report.ended));
  if (const auto request = TRY(view.find("request"))) report.request = TRY(read_request(*request));
  return report;
}

}  // namespace

const char* event_name(Event::Kind kind) {
  return find_name(kEvents, kind);
}

std::string print_order(const ExtensionOrder& order) {
  Json json{{"type", find_name(kOrders, order.type)}};
  switch (order.type) {
    case OrderType::kStart:
      json["version"] = order.version;
      json["name"] = order.name;
      json["settings"] = order.settings;
      json["pod"] = {{"id", order.pod_id},
                     {"name", order.pod_name},
                     {"hostname", order.hostname},
                     {"containers", order.containers}};
      break;
    case OrderType::kEvent:
      json["event"] = event_name(order.event.kind);
      if (order.event.kind != Event::Kind::kStopping) json["container"] = order.event.container;
      if (order.event.kind == Event::Kind::kExited) json["exit_code"] = order.event.exit_code;
      break;
    case OrderType::kPort:
      json["port"] = order.port;
      break;
    case OrderType::kNumbers:
      json["containers"] = Json::array();
      for (const ContainerNumbers& numbers : order.numbers) {
        json["containers"].push_back(to_json(numbers));
      }
      break;
    case OrderType::kError:
      json["message"] = order.message;
      break;
  }
  const bool answer = order.type != OrderType::kStart && order.type != OrderType::kEvent;
  if (answer) json["id"] = order.id;
  return print(json);
}

Result<ExtensionOrder> parse_order(std::string_view line) {
  return parse(line, read_order);
}

std::string print_request(const ExtensionRequest& request) {
  return print(to_json(request));
}

Result<ExtensionRequest> parse_request(std::string_view line) {
  return parse(line, read_request);
}

std::string print_infra_order(const InfraOrder& order) {
  Json json{{"order", order.order}};
  if (!order.to.empty()) json["to"] = order.to;
  if (!order.launch.empty()) json["launch"] = order.launch;
  return print(json);
}

Result<InfraOrder> parse_infra_order(std::string_view line) {
  return parse(line, read_infra_order);
}

std::string print_infra_report(const InfraReport& report) {
  Json json{{"from", report.from}};
  if (report.request) {
    json["request"] = to_json(*report.request);
  } else {
    json["ended"] = report.ended;
  }
  return print(json);
}

Result<InfraReport> parse_infra_report(std::string_view line) {
  return parse(line, read_infra_report);
}

}  // namespace trivet::pod
