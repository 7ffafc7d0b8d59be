// Probes and lifecycle hooks.
#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/text.h"
#include "manifest/fields.h"

namespace trivet::manifest {

namespace {

constexpr Range kPort{1, 65535};
constexpr Range kOne{1, 1};
constexpr Range kSome{1, INT32_MAX};

// A number, or the name of a port of the container.
uint16_t read_port(Fields& fields, const std::vector<Port>& ports) {
  const auto value = fields.need("port");
  if (!value) return 0;
  if (value->node().kind != Node::Kind::kText) {
    return static_cast<uint16_t>(value->integer(kPort));
  }
  const std::string name = value->text();
  const auto found = std::ranges::find(ports, name, &Port::name);
  if (found != ports.end()) return found->container_port;
  value->wrong(
      fmt::format("\"{}\": it is a number, or the name of one of the container's ports", name));
  return 0;
}

bool is_address(const std::string& text) {
  in6_addr buffer{};
  return inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

// Empty: the pod itself. To look a name up could take longer than a probe has.
std::string read_host(Fields& fields) {
  const auto value = fields.find("host");
  if (!value) return {};
  std::string host = value->text();
  if (host.empty() || host == "localhost" || is_address(host)) return host;
  value->unsupported("names are not looked up: an address, or nothing for the pod itself");
  return {};
}

Action read_exec(const Value& value) {
  Fields fields(value);
  Action action{.kind = Action::Kind::kExec};
  if (const auto command = fields.need("command")) {
    action.command = command->texts();
    if (action.command.empty()) command->wrong("it has no words");
  }
  return action;
}

std::pair<std::string, std::string> read_header(const Value& value) {
  Fields fields(value);
  std::string name;
  std::string content;
  if (const auto field = fields.need("name")) name = field->text();
  if (const auto field = fields.find("value")) content = field->text();
  const auto breaks = [](char c) { return c == '\r' || c == '\n'; };
  if (std::ranges::any_of(name + content, breaks)) value.wrong("a header is one line");
  return {name, content};
}

Action read_http(const Value& value, const std::vector<Port>& ports) {
  Fields fields(value);
  Action action{.kind = Action::Kind::kHttp};
  action.port = read_port(fields, ports);
  action.host = read_host(fields);
  fields.read("path", action.path);
  if (!action.path.starts_with('/')) action.path = fmt::format("/{}", action.path);
  if (const auto scheme = fields.find("scheme")) {
    action.https = scheme->one_of({"HTTP", "HTTPS"}) == "HTTPS";
  }
  if (const auto headers = fields.find("httpHeaders")) {
    for (const Value& item : headers->items()) action.headers.push_back(read_header(item));
  }
  return action;
}

Action read_tcp(const Value& value, const std::vector<Port>& ports) {
  Fields fields(value);
  Action action{.kind = Action::Kind::kTcp};
  action.port = read_port(fields, ports);
  action.host = read_host(fields);
  return action;
}

Action read_grpc(const Value& value) {
  Fields fields(value);
  Action action{.kind = Action::Kind::kGrpc};
  if (const auto port = fields.need("port")) {
    action.port = static_cast<uint16_t>(port->integer(kPort));
  }
  fields.read("service", action.service);
  return action;
}

Action read_sleep(const Value& value) {
  Fields fields(value);
  Action action{.kind = Action::Kind::kSleep};
  if (const auto seconds = fields.need("seconds")) {
    action.sleep_seconds = seconds->integer({0, INT32_MAX});
  }
  return action;
}

// Exactly one of the kinds that `names` lists.
std::optional<Action> read_action(Fields& fields, const std::vector<Port>& ports,
                                  std::initializer_list<const char*> names) {
  std::vector<Action> actions;
  for (const std::string_view name : names) {
    const auto value = fields.find(name.data());
    if (!value) continue;
    if (name == "exec") actions.push_back(read_exec(*value));
    if (name == "httpGet") actions.push_back(read_http(*value, ports));
    if (name == "tcpSocket") actions.push_back(read_tcp(*value, ports));
    if (name == "grpc") actions.push_back(read_grpc(*value));
    if (name == "sleep") actions.push_back(read_sleep(*value));
  }
  if (actions.size() == 1) return actions.front();
  if (fields.value().node().kind == Node::Kind::kMap) {
    const std::vector<std::string> known(names.begin(), names.end());
    fields.value().wrong(
        fmt::format("it has {} of {}: exactly one is needed", actions.size(), join(known, ", ")));
  }
  return std::nullopt;
}

std::optional<Action> read_hook(const Value& value, const std::vector<Port>& ports) {
  Fields fields(value);
  fields.refuse("tcpSocket", "Kubernetes itself never does this");
  return read_action(fields, ports, {"exec", "httpGet", "sleep"});
}

}  // namespace

std::optional<Probe> read_probe(const Value& value, ProbeKind kind,
                                const std::vector<Port>& ports) {
  Fields fields(value);
  Probe probe;
  auto action = read_action(fields, ports, {"exec", "httpGet", "tcpSocket", "grpc"});
  fields.read_integer("initialDelaySeconds", probe.initial_delay_seconds, {0, INT32_MAX});
  fields.read_integer("periodSeconds", probe.period_seconds, kSome);
  fields.read_integer("timeoutSeconds", probe.timeout_seconds, kSome);
  fields.read_integer("successThreshold", probe.success_threshold,
                      kind == ProbeKind::kReadiness ? kSome : kOne);
  fields.read_integer("failureThreshold", probe.failure_threshold, kSome);
  if (const auto grace = fields.find("terminationGracePeriodSeconds")) {
    probe.grace_seconds = grace->integer(kSome);
    if (kind == ProbeKind::kReadiness) grace->wrong("a readiness probe ends no container");
  }
  if (!action) return std::nullopt;
  probe.action = std::move(*action);
  return probe;
}

void read_lifecycle(const Value& value, Container& container) {
  Fields fields(value);
  if (const auto hook = fields.find("postStart")) {
    container.post_start = read_hook(*hook, container.ports);
  }
  if (const auto hook = fields.find("preStop")) {
    container.pre_stop = read_hook(*hook, container.ports);
  }
  if (const auto signal = fields.find("stopSignal")) {
    const auto number = parse_signal(signal->text());
    if (number) {
      container.stop_signal = *number;
    } else {
      signal->wrong(number.error().message());
    }
  }
}

}  // namespace trivet::manifest
