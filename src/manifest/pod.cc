// The spec of a pod, but for its containers and volumes.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>

#include "base/text.h"
#include "manifest/fields.h"

namespace trivet::manifest {

namespace {

constexpr size_t kLabel = 63;

bool is_address(const std::string& text) {
  in6_addr buffer{};
  return inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

std::string read_address(const Value& value) {
  std::string text = value.text();
  if (value.node().kind == Node::Kind::kText && !is_address(text)) {
    value.wrong(fmt::format("\"{}\": it is an IP address", text));
  }
  return text;
}

HostAlias read_alias(const Value& value) {
  Fields fields(value);
  HostAlias alias;
  if (const auto address = fields.need("ip")) alias.address = read_address(*address);
  if (const auto names = fields.find("hostnames")) {
    for (const Value& item : names->items()) {
      alias.names.push_back(item.text());
      check_name(item, alias.names.back(), 253, Dots::kYes);
    }
  }
  return alias;
}

std::string read_dns_option(const Value& value) {
  Fields fields(value);
  std::string name;
  std::string content;
  if (const auto field = fields.need("name")) name = field->text();
  fields.read("value", content);
  const std::string text = content.empty() ? name : fmt::format("{}:{}", name, content);
  const auto blank = [](unsigned char c) { return c <= ' '; };
  if (std::ranges::any_of(text, blank)) value.wrong("an option is one word");
  return text;
}

void read_dns_config(const Value& value, Dns& dns) {
  Fields fields(value);
  if (const auto servers = fields.find("nameservers")) {
    for (const Value& item : servers->items()) dns.servers.push_back(read_address(item));
  }
  if (const auto searches = fields.find("searches")) {
    for (const Value& item : searches->items()) {
      dns.searches.push_back(item.text());
      const auto blank = [](unsigned char c) { return c <= ' '; };
      if (std::ranges::any_of(dns.searches.back(), blank)) item.wrong("a domain has no blanks");
    }
  }
  if (const auto options = fields.find("options")) {
    for (const Value& item : options->items()) dns.options.push_back(read_dns_option(item));
  }
}

void read_dns(Fields& fields, Dns& dns) {
  if (const auto config = fields.find("dnsConfig")) read_dns_config(*config, dns);
  const auto policy = fields.find("dnsPolicy");
  if (!policy) return;
  const auto word = policy->one_of({"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"});
  if (word != "None") return;
  if (dns.servers.empty()) policy->wrong("None needs a name server in dnsConfig.nameservers");
  // "." alone clears the host's.
  if (dns.searches.empty()) dns.searches = {"."};
}

// What the names of runtime classes mean here. Those of containerd's shims are what manifests for
// Kubernetes say already.
constexpr std::array<std::pair<const char*, const char*>, 10> kRuntimeClasses = {{
    {"trivet", ""},
    {"trivet-native", "native"},
    {"native", "native"},
    {"trivet-microvm", "microvm"},
    {"microvm", "microvm"},
    {"trivet-krun", "microvm"},
    {"krun", "microvm"},
    {"trivet-wasm", "wasm"},
    {"wasm", "wasm"},
    {"crun-wasm", "wasm"},
}};

void read_runtime_class(Fields& fields, Pod& pod) {
  const auto value = fields.find("runtimeClassName");
  if (!value) return;
  const std::string name = value->text();
  std::vector<std::string> known;
  for (const auto& [known_name, isolation] : kRuntimeClasses) {
    if (name == known_name) {
      pod.isolation = isolation;
      return;
    }
    known.emplace_back(known_name);
  }
  if (value->node().kind == Node::Kind::kText) {
    value->unsupported(fmt::format("\"{}\": it is one of {}", name, join(known, ", ")));
  }
}

void read_containers(Fields& fields, Pod& pod) {
  if (const auto list = fields.find("initContainers")) {
    for (const Value& item : list->items()) {
      pod.containers.push_back(read_container(item, Role::kInit));
    }
  }
  const auto list = fields.need("containers");
  if (!list) return;
  for (const Value& item : list->items()) {
    pod.containers.push_back(read_container(item, Role::kMain));
  }
  if (list->node().kind == Node::Kind::kList && list->node().items.empty()) {
    list->wrong("a pod has at least one container");
  }
}

void read_names(Fields& fields, Pod& pod) {
  if (const auto name = fields.find("hostname")) {
    pod.hostname = name->text();
    check_name(*name, pod.hostname, kLabel, Dots::kNo);
  }
  if (const auto name = fields.find("subdomain")) {
    pod.subdomain = name->text();
    check_name(*name, pod.subdomain, kLabel, Dots::kNo);
  }
  if (const auto full = fields.find("setHostnameAsFQDN"); full && full->flag()) {
    full->unsupported("a pod's host name is its short one");
  }
  fields.refuse("hostnameOverride", "\"hostname\" sets the host name");
  if (const auto aliases = fields.find("hostAliases")) {
    for (const Value& item : aliases->items()) pod.host_aliases.push_back(read_alias(item));
  }
  read_dns(fields, pod.dns);
}

void read_sharing(Fields& fields, Pod& pod) {
  fields.read("shareProcessNamespace", pod.share_pid);
  fields.read("hostNetwork", pod.host_network);
  const auto host_pid = fields.find("hostPID");
  if (host_pid) pod.host_pid = host_pid->flag();
  if (pod.host_pid && pod.share_pid) {
    host_pid->wrong("hostPID and shareProcessNamespace exclude each other");
  }
  if (const auto ipc = fields.find("hostIPC"); ipc && ipc->flag()) {
    ipc->unsupported("a pod's shared memory is its own");
  }
  if (const auto users = fields.find("hostUsers"); users && !users->flag()) {
    users->unsupported("a pod has no user namespace of its own");
  }
}

void read_times(Fields& fields, Pod& pod) {
  if (const auto policy = fields.find("restartPolicy")) {
    const auto word = policy->one_of({"Always", "OnFailure", "Never"});
    if (word == "OnFailure") pod.restart = RestartPolicy::kOnFailure;
    if (word == "Never") pod.restart = RestartPolicy::kNever;
  }
  fields.read_integer("terminationGracePeriodSeconds", pod.grace_seconds, {0, INT32_MAX});
  fields.read_integer("activeDeadlineSeconds", pod.deadline_seconds, {1, INT32_MAX});
}

constexpr const char* kLabelsField = "metadata.labels";
constexpr const char* kAnnotationsField = "metadata.annotations";

bool is_keyed_field(std::string_view path) {
  for (const std::string_view name : {kLabelsField, kAnnotationsField}) {
    if (!path.starts_with(name)) continue;
    const std::string_view key = path.substr(name.size());
    return key.size() > 4 && key.starts_with("['") && key.ends_with("']");
  }
  return false;
}

}  // namespace

std::string read_field_ref(const Value& value, FieldUse use) {
  Fields fields(value);
  fields.accept({"apiVersion"});
  const auto field = fields.need("fieldPath");
  if (!field) return {};
  std::string path = field->text();
  std::vector<std::string> known = {"metadata.name", "metadata.namespace", "metadata.uid"};
  if (use == FieldUse::kVariable) {
    known.insert(known.end(), {"spec.nodeName", "spec.serviceAccountName", "status.hostIP",
                               "status.hostIPs", "status.podIP", "status.podIPs"});
  } else {
    known.insert(known.end(), {kLabelsField, kAnnotationsField});
  }
  if (is_keyed_field(path) || std::ranges::find(known, path) != known.end()) return path;
  if (field->node().kind == Node::Kind::kText) {
    field->wrong(
        fmt::format("\"{}\": it is one of {}, metadata.labels['KEY'], "
                    "metadata.annotations['KEY']",
                    path, join(known, ", ")));
  }
  return {};
}

void read_pod_spec(const Value& value, Pod& pod) {
  Fields fields(value);
  read_containers(fields, pod);
  if (const auto volumes = fields.find("volumes")) {
    for (const Value& item : volumes->items()) pod.volumes.push_back(read_volume(item));
  }
  read_names(fields, pod);
  read_sharing(fields, pod);
  read_times(fields, pod);
  read_runtime_class(fields, pod);
  if (const auto field = fields.find("resources")) pod.resources = read_resources(*field);
  if (const auto field = fields.find("securityContext")) pod.security = read_pod_security(*field);
  if (const auto os = fields.find("os")) {
    Fields members(*os);
    if (const auto name = members.need("name")) static_cast<void>(name->one_of({"linux"}));
  }
  fields.read("serviceAccountName", pod.service_account);
  fields.refuse("ephemeralContainers", "`trivet pod exec` runs a program in a pod that runs");
  fields.refuse("resourceClaims", "trivet gives out no devices by claim");
  fields.refuse("readinessGates", "there is no API server to set its conditions");
  // What a scheduler or an API server does with a pod.
  fields.accept({"affinity", "automountServiceAccountToken", "enableServiceLinks",
                 "imagePullSecrets", "nodeName", "nodeSelector", "overhead", "preemptionPolicy",
                 "priority", "priorityClassName", "schedulerName", "schedulingGates",
                 "serviceAccount", "tolerations", "topologySpreadConstraints", "workloadRef"});
}

}  // namespace trivet::manifest
